"""safetensors: what its own library writes and reads."""

import json

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from files_numpy import CONFIG, compare, random_arrays

TYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")


def golden(folder):
    ramp = np.arange(6).reshape(2, 3)
    save_file(
        {f"ramp/{type_}": ramp.astype(type_) for type_ in TYPES},
        folder / "library.safetensors",
        {"config": json.dumps(CONFIG)},
    )


def own_config(path):
    with safetensors.safe_open(path, "numpy") as file:
        return file.metadata() and json.loads(file.metadata()["config"])


def check_brain(repack, folder):
    """numpy has no bfloat16: its bytes are the upper halves of floats."""
    numbers = np.random.default_rng(1).standard_normal(1000).astype("<f4")
    halves = (numbers.view("<u4") >> 16).astype("<u2")
    tensor = safetensors.TensorSpec(
        dtype="bfloat16", shape=[10, 100], data_ptr=halves.ctypes.data, data_len=halves.nbytes
    )
    (folder / "in.safetensors").write_bytes(safetensors.serialize({"a/kernel": tensor}))
    with np.load(repack(folder / "in.safetensors", folder / "out.npz")) as found:
        expected = (halves.astype("<u4") << 16).view("<f4").reshape(10, 100)
        compare(dict(found), {"a/kernel": expected})


def check(repack, folder):
    check_brain(repack, folder)
    count = 1
    for seed in range(100):
        # The library writes arrays as they lie in memory: C order, little-endian.
        arrays = {
            name: np.ascontiguousarray(array).reshape(array.shape).astype(array.dtype.newbyteorder("<"))
            for name, array in random_arrays(seed)
        }
        theirs, between, ours = folder / "in.safetensors", folder / "x.npz", folder / "out.safetensors"
        save_file(arrays, theirs, {"config": json.dumps(CONFIG)} if seed % 3 else None)
        with np.load(repack(theirs, between)) as found:
            compare({name: found[name] for name in found.files if name != "config.json"}, arrays)
        compare(load_file(repack(between, ours)), arrays)
        assert own_config(ours) == (CONFIG if seed % 3 else None), f"{seed}: another config"
        count += 2
    return count
