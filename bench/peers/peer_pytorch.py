"""PyTorch, contiguous and channels_last: what ConvTranspose2d and its gradient call. See protocol.py."""

import os

import torch
from torch import nn

import train_pytorch
from protocol import serve

FORMATS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


def measure_shape(s):
    pads = [a.symmetric() for a in s.axes]
    padding, extra = [p for p, _ in pads], [e for _, e in pads]
    geometry = [s.strides, padding, [s.dilation] * 2, True, extra, 1]
    for name, layout in FORMATS.items():
        x, dy = (torch.rand(t).sub_(0.5).to(memory_format=layout) for t in (s.x(False), s.y(False)))
        w, b = torch.rand(s.ic, s.oc, *s.kernel).sub_(0.5).to(memory_format=layout), torch.zeros(s.oc)

        def backward(*mask, x=x, w=w, dy=dy):
            torch.ops.aten.convolution_backward(dy, x, w, [s.oc], *geometry, mask)

        yield "fwd", name, lambda x=x, w=w, b=b: torch.ops.aten.convolution(x, w, b, *geometry)
        yield "dx", name, lambda run=backward: run(True, False, False)
        yield "dw", name, lambda run=backward: run(False, True, True)


def max_norm(w, bound=2.0):
    """Keras' MaxNorm over axis 0 of (kh, kw, filters, in)."""
    norm = w.square().sum(2, keepdim=True).sqrt()
    w.mul_(norm.clamp(0, bound) / (1e-7 + norm))


def measure_step(batch):
    for name, layout in FORMATS.items():
        model = train_pytorch.decoder(torch.Generator().manual_seed(0)).to(memory_format=layout)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        loss_of = nn.BCEWithLogitsLoss()
        codes = torch.randn(batch, 32, 1, 1, requires_grad=True)
        images = torch.rand(batch, 1, 28, 28).to(memory_format=layout)

        def step(model=model, optimizer=optimizer, codes=codes, images=images):
            optimizer.zero_grad()
            codes.grad = None
            loss_of(model(codes), images).backward()
            optimizer.step()
            with torch.no_grad():
                for layer in model[::2]:
                    max_norm(layer.weight)

        yield "step", name, torch.enable_grad()(step)


torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.set_grad_enabled(False)
serve(torch.__version__, measure_shape, measure_step)
