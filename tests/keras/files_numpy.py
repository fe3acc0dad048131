"""numpy: .npy and .npz in every type, order, header version and way of packing."""

import io
import itertools
import json
import zipfile

import numpy as np
from numpy.lib import format as npy

TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
CONFIG = {"class_name": "Sequential", "config": {"name": "s", "layers": []}}
FIRST_OF_1980 = (1980, 1, 1, 0, 0, 0)


def ramps():
    """name, 0 ... 5 of every type and endianness, header version; the orders and the versions take turns."""
    for i, (type_, endian) in enumerate(itertools.product(TYPES, "<>")):
        order, version = "CF"[i // 2 % 2], (i % 3 + 1, 0)
        array = np.asarray(np.arange(6).reshape(2, 3), endian + type_, order=order)
        yield f"ramp/{type_}{'le' if endian == '<' else 'be'}{order}{version[0]}", array, version


def pack(path, members, compression, zip64):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array, version in members:
            buffer = io.BytesIO()
            npy.write_array(buffer, array, version)
            info = zipfile.ZipInfo(name + ".npy", FIRST_OF_1980)
            info.compress_type = compression
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(buffer.getvalue())


def golden(folder):
    # Deflated, with zip64's fields in the headers, as numpy writes streams.
    pack(folder / "numpy.npz", ramps(), zipfile.ZIP_DEFLATED, True)


def compare(found, expected):
    assert set(found) == set(expected), f"{sorted(found)} where {sorted(expected)} were written"
    for name, array in expected.items():
        assert found[name].shape == array.shape, f"{name}: shape {found[name].shape}, not {array.shape}"
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f"), f"{name}: other numbers"


def random_arrays(seed):
    random = np.random.default_rng(seed)
    for i in range(int(random.integers(1, 9))):
        shape = random.integers(0 if i == 0 else 1, 5, size=random.integers(0, 6))
        type_ = str(random.choice(TYPES))
        if type_[0] == "f":
            array = random.standard_normal(shape).astype(type_)
        else:
            array = random.integers(0, 100, shape).astype(type_)
        array = array.astype(array.dtype.newbyteorder(str(random.choice(list("<>")))))
        yield f"layer{i}/kernel", np.asarray(array, order=str(random.choice(list("CF"))))


def check(repack, folder):
    count = 0
    for seed in range(100):
        arrays = dict(random_arrays(seed))
        source, target = folder / "in.npz", folder / "out.npz"
        (np.savez if seed % 2 else np.savez_compressed)(source, **arrays)
        if seed % 3:
            with zipfile.ZipFile(source, "a") as archive:
                archive.writestr("config.json", json.dumps(CONFIG))
        with np.load(repack(source, target)) as found:
            compare({name: found[name] for name in found.files if name != "config.json"}, arrays)
        with zipfile.ZipFile(target) as archive:
            assert archive.testzip() is None, f"{target}: a wrong checksum"
            if seed % 3:
                assert json.loads(archive.read("config.json")) == CONFIG, f"{seed}: another config"
        count += 1
    return count
