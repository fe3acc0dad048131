"""JAX: the convolution with input dilation that Keras calls, and its gradients, compiled. See protocol.py."""

import jax
import jax.numpy as jnp
import numpy as np

from protocol import serve

FORMATS = {"nhwc": ("NHWC", "HWIO", "NHWC"), "nchw": ("NCHW", "HWIO", "NCHW")}


def measure_shape(s):
    random = np.random.default_rng(0)

    def tensor(shape):
        return jnp.asarray(random.random(shape, np.float32) - 0.5)

    pads = [(a.dilation * (a.kernel - 1) - a.begin, a.dilation * (a.kernel - 1) - a.end) for a in s.axes]
    w, b = tensor((*s.kernel, s.ic, s.oc)), tensor((s.oc,))
    for name, dimensions in FORMATS.items():
        last = name == "nhwc"
        x, dy = tensor(s.x(last)), tensor(s.y(last))

        def layer(x, w, b, last=last, dimensions=dimensions):
            y = jax.lax.conv_general_dilated(
                x, w, (1, 1), pads, lhs_dilation=s.strides, rhs_dilation=(s.dilation,) * 2, dimension_numbers=dimensions)
            return y + (b if last else b[:, None, None])

        def dx(x, w, b, dy, layer=layer):
            return jax.vjp(lambda x: layer(x, w, b), x)[1](dy)

        def dw(x, w, b, dy, layer=layer):
            return jax.vjp(lambda w, b: layer(x, w, b), w, b)[1](dy)

        for which, function, arguments in (("fwd", layer, (x, w, b)), ("dx", dx, (x, w, b, dy)), ("dw", dw, (x, w, b, dy))):
            compiled = jax.jit(function).lower(*arguments).compile()
            yield which, name, lambda f=compiled, a=arguments: jax.block_until_ready(f(*a))


serve(jax.__version__, measure_shape)
