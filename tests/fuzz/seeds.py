"""Writes tests/data/fuzz: the seeds of every target, small files of numpy, safetensors, Keras and onnx.

    build/keras-venv/bin/python tests/fuzz/seeds.py

Made by running these libraries on small numbers; the files are part of this project and under its licence.
"""

import io
import json
import os
import pathlib
import zipfile

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from numpy.lib import format as npy  # noqa: E402
from onnx import helper  # noqa: E402
from safetensors.numpy import save  # noqa: E402

SEEDS = pathlib.Path(__file__).parents[1] / "data" / "fuzz"
EPOCH = (1980, 1, 1, 0, 0, 0)
KERNEL, BIAS = np.arange(8, dtype="f4").reshape(2, 2, 2, 1) / 8, np.zeros(2, "f4")


def put(target, name, data):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def sequential(*layers):
    return keras.Sequential([keras.Input((2, 2, 1)), *layers], name="s")


def conv(**more):
    return keras.layers.Conv2DTranspose(2, 2, name="up", **more)


def models():
    """What targets.c reads weights into comes first."""
    yield "layer", sequential(conv())
    yield "decoder", keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="relu", name="d"),
            keras.layers.Reshape((2, 2, 1), name="r"),
            keras.layers.Conv2DTranspose(1, 2, strides=2, padding="same", kernel_regularizer="l2", name="u"),
            keras.layers.BatchNormalization(name="b"),
            keras.layers.LeakyReLU(name="a"),
            keras.layers.UpSampling2D(name="n"),
            keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="c"),
        ],
        name="s",
    )
    x = keras.Input((2, 2, 1), name="x")
    yield "functional", keras.Model(x, keras.layers.ReLU(name="a")(conv(kernel_constraint="max_norm")(x)), name="f")


def array_bytes(array, version):
    buffer = io.BytesIO()
    npy.write_array(buffer, array, version)
    return buffer.getvalue()


def write_npy():
    put("npy", "f4", array_bytes(np.arange(6, dtype="<f4").reshape(2, 3), (1, 0)))
    put("npy", "f2-fortran", array_bytes(np.asfortranarray(np.arange(24, dtype=">f2").reshape(2, 3, 4)), (2, 0)))
    put("npy", "i2", array_bytes(np.arange(3, dtype=">i2"), (3, 0)))
    put("npy", "bool", array_bytes(np.array([True, False]), (1, 0)))
    put("npy", "scalar", array_bytes(np.float64(2.5), (1, 0)))


def archive(members, compression, zip64):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = compression
            with out.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return buffer.getvalue()


def write_npz(config):
    members = {
        "config.json": config.encode(),
        "up/kernel.npy": array_bytes(KERNEL, (1, 0)),
        "up/bias.npy": array_bytes(BIAS, (1, 0)),
    }
    put("npz", "stored", archive(members, zipfile.ZIP_STORED, False))
    put("npz", "deflated", archive(members, zipfile.ZIP_DEFLATED, False))
    put("npz", "zip64", archive({"x.npy": members["up/bias.npy"]}, zipfile.ZIP_STORED, True))


def write_safetensors(config):
    tensors = {"up/kernel": KERNEL, "up/bias": BIAS}
    put("safetensors", "model", save(tensors, {"config": config}))
    halves = {"up.kernel": KERNEL.astype("f2"), "up.bias": BIAS.astype("f2"), "n": np.arange(3, dtype="u2")}
    put("safetensors", "halves", save(halves))


def saved(save_to, name):
    path = SEEDS / name
    save_to(path)
    data = path.read_bytes()
    path.unlink()
    return data


def write_onnx():
    def value(name, *shape):
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    def tensor(name, array):
        return onnx.numpy_helper.from_array(np.asarray(array), name)

    dense = np.arange(12, dtype="f4").reshape(3, 4)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "d.w", "d.b"], ["h"]),
            helper.make_node("Reshape", ["h", "shape"], ["r"]),
            helper.make_node("ConvTranspose", ["r", "u.w"], ["t"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Relu", ["t"], ["y"]),
        ],
        "g",
        [value("x", "n", 3)],
        [value("y", "n", 1, 4, 4)],
        [
            tensor("d.w", dense),
            tensor("d.b", np.zeros(4, "f4")),
            tensor("shape", np.array([-1, 1, 2, 2])),
            tensor("u.w", np.ones((1, 1, 2, 2), "f4")),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    put("onnx", "decoder", model.SerializeToString())


def main():
    write_npy()
    write_onnx()
    for name, model in models():
        config = json.dumps(keras.saving.serialize_keras_object(model))
        put("config", name, config.encode())
        if name == "functional":  # HDF5 is large: one of them, and its weights alone below
            put("keras", name, saved(model.save, "seed.keras"))
        if name == "layer":
            put("weights_h5", name, saved(model.save_weights, "seed.weights.h5"))
            write_npz(config)
            write_safetensors(config)
    put("config", "one", json.dumps(conv().get_config()).encode())


if __name__ == "__main__":
    main()
