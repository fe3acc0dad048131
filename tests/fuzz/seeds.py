"""Writes tests/data/fuzz: the seeds of every target, small files of numpy, safetensors, Keras and onnx, and images
of the standard library.

    build/keras-venv/bin/python tests/fuzz/seeds.py

Made by running these libraries on small numbers; the files are part of this project and under its licence.
"""

import gzip
import io
import json
import os
import pathlib
import struct
import zipfile
import zlib

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


def write_samples():
    images = np.arange(48, dtype="u1").reshape(4, 3, 2, 2)
    put("samples", "u1", array_bytes(images, (1, 0)))
    put("samples", "f4", array_bytes(images[..., 0].astype("f4"), (1, 0)))
    put("samples", "fortran", array_bytes(np.asfortranarray(images[..., 0].astype(">i2")), (2, 0)))
    put("samples", "scalar", array_bytes(np.int8(-1), (1, 0)))


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx():
    gray, rgb = np.arange(24, dtype="u1").reshape(4, 3, 2), np.arange(36, dtype="u1").reshape(3, 2, 2, 3)
    put("idx", "gray", idx(gray))
    put("idx", "rgb", idx(rgb))
    put("idx", "gzip", gzip.compress(idx(gray), mtime=0))
    parts = idx(rgb)
    put("idx", "members", gzip.compress(parts[:20], mtime=0) + gzip.compress(parts[20:], mtime=0))


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, depth, color, rows, *more, interlaced=0):
    """Rows with the number of their filter in front."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color, 0, 0, interlaced)
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_png():
    put("png", "gray", png(3, 8, 0, [bytes([f, 1, 2, 3]) for f in range(5)]))
    put("png", "bits", png(9, 1, 0, [b"\0\xaa\x80", b"\0\x55\0"]))
    put("png", "rgb16", png(1, 16, 2, [b"\0\1\2\3\4\5\6", b"\2\1\1\1\1\1\1"]))
    put("png", "rgba", png(2, 8, 6, [bytes(range(9))], chunk(b"tEXt", b"Title\0x")))
    palette = [chunk(b"PLTE", bytes(range(12))), chunk(b"tRNS", b"\0\xff")]
    put("png", "palette", png(4, 2, 3, [b"\0\x1b", b"\0\xe4"], *palette))
    put("png", "interlaced", png(1, 8, 0, [b"\0\7"], interlaced=1))


def write_sgd():
    schedules = keras.optimizers.schedules
    rates = {
        "exponential": schedules.ExponentialDecay(0.1, 100, 0.9, staircase=True),
        "inverse_time": schedules.InverseTimeDecay(0.1, 10.0, 0.5),
        "piecewise": schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.25]),
        "polynomial": schedules.PolynomialDecay(0.1, 50, power=2.0, cycle=True),
        "cosine": schedules.CosineDecay(0.1, 50, alpha=0.1, warmup_target=0.2, warmup_steps=5),
        "restarts": schedules.CosineDecayRestarts(0.1, 10, t_mul=1.5, m_mul=0.5),
    }
    for name, rate in rates.items():
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.004)
        put("sgd", name, json.dumps(keras.saving.serialize_keras_object(optimizer)).encode())
    plain = keras.optimizers.SGD(global_clipnorm=2.5, use_ema=True, gradient_accumulation_steps=4, loss_scale_factor=8.0)
    put("sgd", "plain", json.dumps(plain.get_config()).encode())


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
    write_samples()
    write_idx()
    write_png()
    write_sgd()
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
    layers = [keras.layers.Dense(4, name="d"), keras.layers.Reshape((2, 2, 1), name="r"), conv(strides=2)]
    put("config", "list", json.dumps([keras.saving.serialize_keras_object(layer) for layer in layers]).encode())


if __name__ == "__main__":
    main()
