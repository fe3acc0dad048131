"""Keras: .keras and .weights.h5 of the version that is installed, and HDF5 files that Keras would refuse.

The stored files keras-<version>-* come from two versions: Keras 3.0.5 is run as
`PYTHONPATH=<folder of keras 3.0.5> python files_keras.py ../data/files` on JAX 0.4.25 and h5py 3.16.
"""

import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")

import h5py
import keras
import numpy as np

L = keras.layers
VARIABLE = "layers/dense/vars/0"


def sequential():
    """Names and classes out of step, layers without variables, an optimizer's state."""
    model = keras.Sequential(
        [
            L.Input((3,)),
            L.Dense(2 * 2 * 2, activation="relu", name="start"),
            L.Reshape((2, 2, 2)),
            L.Conv2DTranspose(3, 3, strides=2, padding="same", name="up"),
            L.BatchNormalization(),
            L.LeakyReLU(),
            L.Dropout(0.2),
            L.Conv2DTranspose(1, 2, strides=2, activation="sigmoid", use_bias=False, name="dense"),
        ],
        name="decoder",
    )
    model.compile("sgd", "mse")
    return model


def functional():
    start = keras.Input((2, 2, 3), name="code", dtype="float64")
    x = L.Conv2DTranspose(2, 2, strides=2, dtype="float64")(start)
    x = L.UpSampling2D(2, dtype="float64")(x)
    x = L.Conv2DTranspose(2, 3, padding="same", activation="relu", dtype="float64")(x)
    return keras.Model(start, L.Conv2D(1, 3, dtype="float64")(x), name="picture")


MODELS = {"sequential": sequential, "functional": functional}


def trained(name, seed):
    """A model whose variables are all drawn, with x and what it predicts."""
    random = np.random.default_rng(seed)
    model = MODELS[name]()
    for variable in model.weights:
        low = 0.5 if "variance" in variable.name else -1
        variable.assign(random.uniform(low, 1, variable.shape))
    x = random.uniform(-1, 1, (3, *model.input_shape[1:])).astype(model.dtype)
    return model, x, model.predict(x, verbose=0)


def variables(model):
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable)
        for layer in model.layers
        for variable in layer.weights
        if "seed" not in variable.name
    }


def golden_models(folder):
    for name in MODELS:
        stem = f"keras-{keras.__version__}-{name}"
        model, x, y = trained(name, 1)
        model.save(folder / f"{stem}.keras")
        np.savez(folder / f"{stem}.npz", x=x, y=y, **variables(model))
    model, _, _ = trained("sequential", 1)
    model.save_weights(folder / f"keras-{keras.__version__}-sequential.weights.h5")


# ---- what must be refused ------------------------------------------------------------------------


def external_storage(group):
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_external(b"elsewhere.bin", 0, 8)
    h5py.h5d.create(group.id, b"external_storage", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2,)), layout)


def virtual(group):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[...] = h5py.VirtualSource("elsewhere.h5", "x", (2,))
    group.create_virtual_dataset("virtual", layout)


def bomb(group):
    """A chunk of 48 floats whose zlib stream holds a million zeros."""
    import zlib

    data = group.create_dataset("chunk_bomb", (4, 12), "f4", chunks=(4, 12), compression="gzip")
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 20), 9))


def golden_hdf5(path):
    """The faults of io/hdf5, one a dataset of the group `wrong`; what must be read in the group `right`."""
    ramp = np.arange(6, dtype="f4").reshape(2, 3)
    with h5py.File(path, "w") as file:
        right, wrong = file.create_group("right"), file.create_group("wrong")
        for dtype in ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8"):
            right.create_dataset(dtype.replace("<", "little_").replace(">", "big_"), data=ramp.astype(dtype))
        right.create_dataset("packed", data=ramp, chunks=(2, 2), compression="gzip", shuffle=True, fletcher32=True)
        right.create_dataset("chunks", data=ramp, chunks=(1, 2))
        brain = right.create_dataset("brain", data=(ramp.view("u4") >> 16).astype("u2").view("V2"))
        brain.attrs["dtype"] = "bfloat16"
        right["scalar"] = np.float32(1.5)
        right["empty"] = np.zeros((0, 5), "f4")

        wrong["soft"] = h5py.SoftLink("/right/little_f4")
        wrong["external"] = h5py.ExternalLink("elsewhere.h5", "/x")
        wrong["around"] = wrong
        wrong["soft_group"] = h5py.SoftLink("/right")
        wrong.create_group("group")
        external_storage(wrong)
        virtual(wrong)
        bomb(wrong)
        wrong["integers"] = np.arange(3)
        wrong["text"] = "text"
        wrong["compound"] = np.zeros(2, [("a", "f4"), ("b", "f4")])
        wrong["no_shape"] = h5py.Empty("f4")
        wrong["rank"] = np.zeros((1,) * 9, "f4")
        wrong.create_dataset("lzf", data=ramp, compression="lzf")
        wrong.create_dataset("no_numbers", (1 << 30, 1 << 20), "f4")
        wrong.create_dataset("many", (1 << 20, 1 << 12), "f4", chunks=(1 << 10, 1 << 10), compression="gzip")
        wrong.create_dataset("countless", (1 << 40, 1 << 40), "f4", chunks=(2, 2))
        wrong.create_dataset("chunk", (2, 2), "f4", chunks=(1 << 14, 1 << 14), maxshape=(None, None), compression="gzip")


def golden(folder):
    golden_models(folder)
    golden_hdf5(folder / "hostile.h5")


# ---- round trips ---------------------------------------------------------------------------------


def same(model, other, x):
    difference = np.abs(model.predict(x, verbose=0) - other.predict(x, verbose=0)).max()
    assert difference == 0, f"{model.name}: what comes back predicts otherwise, by {difference}"


def check(repack, folder):
    count = 0
    for seed in range(10):
        for name in MODELS:
            model, x, _ = trained(name, seed)
            theirs, between, ours = folder / "in.keras", folder / "x.npz", folder / "out.keras"
            weights = folder / "out.weights.h5"
            model.save(theirs)
            with np.load(repack(theirs, between)) as found:
                for variable, value in variables(model).items():
                    assert np.array_equal(found[variable], value), f"{name}: {variable} differs"
            same(model, keras.saving.load_model(repack(between, ours)), x)
            other = MODELS[name]()
            other.load_weights(repack(ours, weights))
            same(model, other, x)
            count += 3
    return count


if __name__ == "__main__":
    golden_models(pathlib.Path(sys.argv[1]))
