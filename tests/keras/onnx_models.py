"""Models of every class through ONNX, in both data formats: Keras builds and predicts them, the command
converts them to .onnx, onnx.checker has to accept that and ONNX Runtime to compute the same numbers
(onnx' own evaluator in float64, where ONNX Runtime has no kernels); then the way back, whose Keras
layers have to predict the same, too.

    python onnx_models.py CONVT [name ...]
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
import zipfile

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")

import keras
import numpy as np
import onnx
import onnxruntime
from keras import layers as L
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(7)
ACTIVATIONS = ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "relu6", "selu", "celu",
               "hard_sigmoid", "log_sigmoid", "sparse_sigmoid", "softsign", "exponential", "silu",
               "hard_silu", "mish", "gelu", "hard_tanh", "tanh_shrink", "soft_shrink",
               "hard_shrink", "softmax", "log_softmax"]


def image(form, h, w, c):
    return (h, w, c) if form == "channels_last" else (c, h, w)


def models(form):
    """name -> (input shape, layers)"""
    f = {"data_format": form}
    axis = -1 if form == "channels_last" else 1
    x = image(form, 4, 5, 3)
    table = {
        "vae": ((6,), [L.Dense(2 * 3 * 4, activation="relu"), L.Reshape(image(form, 2, 3, 4)),
                       L.Conv2DTranspose(5, 3, 2, "same", activation="relu", **f),
                       L.Conv2DTranspose(1, 3, padding="same", activation="sigmoid", **f)]),
        "dcgan": ((6,), [L.Dense(2 * 3 * 4, use_bias=False), L.BatchNormalization(), L.LeakyReLU(),
                         L.Reshape(image(form, 2, 3, 4)),
                         L.Conv2DTranspose(5, 5, 2, "same", use_bias=False, **f),
                         L.BatchNormalization(axis=axis), L.LeakyReLU(0.3), L.Dropout(0.3),
                         L.Conv2DTranspose(3, 4, 2, "same", activation="tanh", **f)]),
        "up": (x, [L.UpSampling2D((2, 3), **f), L.Conv2D(4, 3, padding="same", **f), L.ELU(0.7),
                   L.ZeroPadding2D(((1, 2), (0, 3)), **f), L.Conv2D(2, (2, 3), dilation_rate=2, **f),
                   L.Cropping2D(((1, 0), (2, 1)), **f), L.Rescaling(0.5, 0.25), L.ReLU(max_value=2.0)]),
        "flatten": (x, [L.Conv2DTranspose(2, 3, **f), L.Flatten(**f), L.Dense(4), L.Softmax()]),
        "norms": (x, [L.BatchNormalization(axis=axis, scale=False),
                      L.BatchNormalization(axis=axis, center=False), L.Rescaling(2.0)]),
        "rows": (x, [L.Dense(4, activation="relu"), L.Conv2DTranspose(2, 2, **f), L.Softmax()]),
        "free": (image(form, None, None, 3), [L.Conv2DTranspose(2, 3, 2, "same", **f),
                                             L.Conv2D(2, 2, padding="same", **f)]),
        "dropout": ((3,), [L.Dropout(0.5)]),
    }
    if form == "channels_first":  # refused: these work along another axis than that of memory, or say no format
        for name in ("flatten", "norms", "rows"):
            del table[name]
    for name in ACTIVATIONS:
        table["act_" + name] = (x, [L.Conv2DTranspose(3, 2, activation=name, **f)])
        table["layer_" + name] = ((6,), [L.Activation(name), L.Dense(2, activation=name)])
    for k in range(1, 6):
        for s in range(1, 5):
            for padding in ("same", "valid"):
                table[f"k{k}s{s}{padding}"] = (x, [L.Conv2DTranspose(2, k, s, padding, **f)])
                if s > 1:
                    table[f"k{k}s{s}{padding}op"] = (
                        x, [L.Conv2DTranspose(2, k, s, padding, output_padding=s - 1, **f)])
        table[f"k{k}d2"] = (x, [L.Conv2DTranspose(2, k, dilation_rate=2, padding="same", **f)])
    return table


def build(shape, stack, dtype):
    keras.config.set_floatx(dtype)
    model = keras.Sequential([L.Input(shape)] + stack)
    for v in model.variables:
        if "seed" not in v.path:
            low = 0.5 if "variance" in v.path else -0.5
            v.assign(RNG.uniform(low, low + 1, v.shape))
    return model


def save(model, path):
    arrays = {f"{layer.name}/{v.name}": np.asarray(v) for layer in model.layers
              for v in layer.weights if "seed" not in v.path}
    config = json.dumps(keras.saving.serialize_keras_object(model))
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", config)


def load(path):
    archive = np.load(path)
    model = keras.saving.deserialize_keras_object(json.loads(bytes(archive["config.json"])))
    for layer in model.layers:
        for v in layer.weights:
            if "seed" not in v.path:
                v.assign(archive[f"{layer.name}/{v.name}"])
    return model


def run_onnx(path, x):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    feed = {model.graph.input[0].name: x}
    if x.dtype == np.float64:
        return ReferenceEvaluator(model).run(None, feed)[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


def close(actual, expected, what):
    scale = max(1.0, float(np.abs(expected).max()))
    assert actual.shape == expected.shape, (what, actual.shape, expected.shape)
    worst = float(np.abs(actual - expected).max()) / scale
    assert worst < 1e-5, (what, worst)
    return worst


def check(command, name, form, dtype, folder):
    shape, stack = models(form)[name]
    for layer in stack:
        layer.dtype_policy = keras.DTypePolicy(dtype)
    model = build(shape, stack, dtype)
    x = RNG.normal(size=(3,) + tuple(s or 4 for s in shape)).astype(dtype)
    y = np.asarray(model(x, training=False))
    there, onnx_file, back = (os.path.join(folder, "m" + end) for end in (".npz", ".onnx", "b.npz"))
    save(model, there)
    subprocess.run([command, "convert", there, onnx_file], check=True)
    worst = close(run_onnx(onnx_file, x), y, "ONNX")
    subprocess.run([command, "convert", onnx_file, back], check=True)
    return max(worst, close(np.asarray(load(back)(x, training=False)), y, "back"))


def check_file(command, path, folder):
    """A file of PyTorch's, through Keras' layers and out again."""
    data = np.load(path.replace(".onnx", ".npz"))
    there, back = os.path.join(folder, "f.npz"), os.path.join(folder, "f.onnx")
    subprocess.run([command, "convert", path, there], check=True)
    subprocess.run([command, "convert", there, back], check=True)
    return close(run_onnx(back, data["x"]), data["y"], path)


def main():
    stored = os.path.join(os.path.dirname(__file__), "..", "data", "onnx")
    command, only = sys.argv[1], sys.argv[2:]
    failed = count = 0
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(glob.glob(os.path.join(stored, "*.onnx"))):
            worst = max(worst, check_file(command, path, folder))
        for dtype in ("float32", "float64"):
            for form in ("channels_last", "channels_first"):
                for name in models(form):
                    if (only and name not in only) or (dtype == "float64" and name.startswith(("k", "act_"))):
                        continue
                    count += 1
                    try:
                        worst = max(worst, check(command, name, form, dtype, folder))
                    except Exception as error:  # every model has its line
                        failed += 1
                        print(f"{name} {form} {dtype}: {str(error)[:300]}")
    print(f"{count} models, {failed} failed, worst {worst:.1e}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
