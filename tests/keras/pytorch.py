"""What PyTorch's ConvTranspose2d and ONNX' ConvTranspose can say beyond Keras, in this library's config.

A PyTorch layer (stride s, padding p, output_padding q, dilation d, groups 1) is

    strides s, dilation_rate d, output_padding q, padding valid, data_format channels_first,
    convt: {strides_with_dilation: true where both are above 1, explicit_padding: [[p, p], [p, p]]}

with the kernel (in, out, kh, kw) transposed to (kh, kw, out, in). ONNX' pads are explicit_padding [[begin, end], ...].
"""

from draw import chance, choice, dyadic, integer

import numpy as np
import torch


def draw_axis(rng):
    while True:
        axis = {"in": integer(rng, 1, 5), "kernel": integer(rng, 1, 4), "stride": integer(rng, 1, 4),
                "dilation": integer(rng, 1, 3)}  # fmt: skip
        reach = (axis["kernel"] - 1) * axis["dilation"]
        axis["begin"], axis["end"] = integer(rng, 0, reach + 1), integer(rng, 0, reach + 1)
        if chance(rng, 0.5):
            axis["end"] = axis["begin"]
        axis["more"] = integer(rng, 0, max(axis["stride"], axis["dilation"]) - 1)
        if (axis["in"] - 1) * axis["stride"] + reach + 1 - axis["begin"] - axis["end"] + axis["more"] > 0:
            return axis


def case(rng, index):
    axes = [draw_axis(rng), draw_axis(rng)]
    n, channels, filters = integer(rng, 1, 2), integer(rng, 1, 4), integer(rng, 1, 5)
    column = lambda key: [axis[key] for axis in axes]  # noqa: E731
    use_bias = chance(rng, 0.7)
    x = dyadic(rng, (n, channels, *column("in")))
    kernel = dyadic(rng, (*column("kernel"), filters, channels))
    bias = dyadic(rng, (filters,))

    leaf = lambda a: torch.tensor(np.ascontiguousarray(a), requires_grad=True)  # noqa: E731
    tx, tw, tb = leaf(x), leaf(kernel.transpose(3, 2, 0, 1)), leaf(bias) if use_bias else None
    symmetric = all(axis["begin"] == axis["end"] for axis in axes)
    arguments = {"stride": column("stride"), "dilation": column("dilation"), "output_padding": column("more")}
    if symmetric:
        y = torch.nn.functional.conv_transpose2d(tx, tw, tb, padding=column("begin"), **arguments)
    else:
        whole = torch.nn.functional.conv_transpose2d(tx, tw, tb, **arguments)
        rows, columns = (slice(a["begin"], size - a["end"]) for a, size in zip(axes, whole.shape[2:]))
        y = whole[:, :, rows, columns]
    dy = dyadic(rng, tuple(y.shape))
    (y * torch.tensor(dy)).sum().backward()

    both = max(column("stride")) > 1 and max(column("dilation")) > 1
    config = {
        "filters": filters,
        "kernel_size": column("kernel"),
        "strides": column("stride"),
        "output_padding": column("more"),
        "dilation_rate": column("dilation"),
        "data_format": "channels_first",
        "use_bias": use_bias,
        "dtype": "float64",
        "convt": {"explicit_padding": [[a["begin"], a["end"]] for a in axes]},
    }
    if both or chance(rng, 0.3):
        config["convt"]["strides_with_dilation"] = True
    if max(column("more")) == 0 and chance(rng, 0.5):
        config["output_padding"] = choice(rng, [None, 0])
    arrays = {"x": x, "kernel": kernel, "dy": dy, "y": y.detach().numpy(), "loss": 0.0, "dx": tx.grad.numpy(),
              "dkernel": tw.grad.numpy().transpose(2, 3, 1, 0)}  # fmt: skip
    if use_bias:
        arrays.update(bias=bias, dbias=tb.grad.numpy())
    return {"kind": "torch", "config": config}, arrays
