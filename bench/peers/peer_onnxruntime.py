"""ONNX Runtime: a model of one ConvTranspose, forward only, channels first. See protocol.py."""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from protocol import serve


def model_of(s, w, b):
    pads = [a.begin for a in s.axes] + [max(a.end, 0) for a in s.axes]
    node = helper.make_node(
        "ConvTranspose", ["x", "w", "b"], ["y"], kernel_shape=s.kernel, strides=s.strides, dilations=[s.dilation] * 2,
        pads=pads, output_padding=[max(-a.end, 0) for a in s.axes])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, t) for n, t in (("x", s.x(False)), ("y", s.y(False)))]
    graph = helper.make_graph([node], "layer", values[:1], values[1:],
                              [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def measure_shape(s):
    random = np.random.default_rng(0)
    x = random.random(s.x(False), np.float32) - 0.5
    w = random.random((s.ic, s.oc, *s.kernel), np.float32) - 0.5
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(model_of(s, w, np.zeros(s.oc, np.float32)), options,
                                           providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    y = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(s.y(False), np.float32))
    binding.bind_ortvalue_output("y", y)
    yield "fwd", "nchw", lambda: session.run_with_iobinding(binding)


serve(onnxruntime.__version__, measure_shape)
