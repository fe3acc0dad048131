"""Case files: one deflated .npz each, with the same bytes whenever the same case is written again."""

import io
import json
import zipfile

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)


class Skip(Exception):
    """A case that cannot be compared; the message says why."""


def write_case(path, description, arrays):
    """arrays: name -> array. Floats are stored as float64, integers as int64."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:

        def member(name, data):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED, 9)

        member("case.json", json.dumps(description, indent=1) + "\n")
        for name, array in arrays.items():
            array = np.asarray(array)
            kind = np.int64 if array.dtype.kind in "iu" else np.float64
            buffer = io.BytesIO()
            # asarray: a scalar keeps rank 0.
            np.lib.format.write_array(buffer, np.asarray(array, kind, order="C"), (1, 0))
            member(name + ".npy", buffer.getvalue())


def read_case(path):
    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read("case.json"))
    with np.load(path) as arrays:
        return description, {name: arrays[name] for name in arrays.files if name != "case.json"}
