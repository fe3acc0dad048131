"""Small decoders that PyTorch exported to ONNX, for tests/test_onnx.c: tests/data/onnx/<name>.onnx beside
<name>.npz with x and y, computed by PyTorch. Random weights; made by this script, under this project's
licence.

    python files_onnx.py FOLDER        needs torch and onnx; onnxscript for those that dynamo exports
"""
import os
import sys

import numpy as np
import onnx
import torch
from torch import nn


class View(nn.Module):
    """x.view(x.size(0), ...), which exporters write as a computation of the shape."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.view(x.size(0), *self.shape)


def decoders():
    """name -> (module, shape of x, exported by dynamo)"""
    return {
        "dcgan": (nn.Sequential(
            nn.ConvTranspose2d(6, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
            nn.ConvTranspose2d(5, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), nn.Tanh()), (2, 6, 1, 1), False),
        "view": (nn.Sequential(
            nn.Linear(5, 12), nn.LeakyReLU(0.1), View(3, 2, 2),
            nn.ConvTranspose2d(3, 2, (3, 2), (2, 1), (1, 0), (1, 0), dilation=(2, 1)),
            nn.Sigmoid()), (2, 5), False),
        "upsample": (nn.Sequential(
            nn.Linear(4, 8), nn.Unflatten(1, (2, 2, 2)), nn.Upsample(scale_factor=2),
            nn.Conv2d(2, 3, 3, padding=1), nn.SiLU(), nn.Conv2d(3, 2, 2, padding=1), nn.ELU(),
            nn.Flatten(), nn.Linear(50, 3)), (2, 4), False),
        "dynamo": (nn.Sequential(
            nn.Linear(5, 12), nn.ReLU(), nn.Unflatten(1, (3, 2, 2)),
            nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), nn.BatchNorm2d(4), nn.Hardtanh(),
            nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3, padding=1), nn.Sigmoid()), (2, 5), True),
    }


def settle(module):
    """Statistics that are not those of a fresh layer."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            for tensor in (m.running_mean, m.running_var, m.weight.data, m.bias.data):
                tensor.uniform_(0.5, 1.5)
    return module.eval()


def strip(path):
    """Leaves out where the exporter ran."""
    model = onnx.load(path)
    for message in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                    *model.graph.initializer]:
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    model.graph.ClearField("value_info")
    model.ClearField("metadata_props")
    model.ClearField("functions")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    folder = sys.argv[1]
    torch.manual_seed(3)
    for name, (module, shape, dynamo) in decoders().items():
        settle(module)
        x = torch.randn(shape)
        path = os.path.join(folder, name + ".onnx")
        more = {"external_data": False} if dynamo else {
            "input_names": ["x"], "output_names": ["y"],
            "dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}}
        torch.onnx.export(module, (x,), path, dynamo=dynamo, **more)
        strip(path)
        np.savez(os.path.join(folder, name + ".npz"), x=x.numpy(), y=module(x).detach().numpy())


if __name__ == "__main__":
    main()
