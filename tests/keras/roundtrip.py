"""Does Keras read what this project writes, and find the same layer?

    python roundtrip.py CASES WRITTEN

CASES holds layer cases, WRITTEN the configs that keras_rewrite made of them: Sequential models of one layer.
"""

import json
import pathlib
import sys

import kerasenv  # noqa: F401
from store import read_case

import keras

def layer_of(config):
    if "class_name" in config:
        return keras.saving.deserialize_keras_object(config)
    return keras.layers.Conv2DTranspose.from_config(config)


def comparable(value):
    """Numbers as floats, tuples as lists. Names of layers within are made up."""
    if isinstance(value, dict):
        value = {key: comparable(inner) for key, inner in value.items()}
        if value.get("module") == "keras.layers":
            value["config"].pop("name", None)
        return value
    if isinstance(value, (list, tuple)):
        return [comparable(inner) for inner in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value


def difference(case, written):
    config, written = case["config"], json.loads(written)
    # What goes beyond Keras it does not read; test_keras compares it, also of the layers of PyTorch.
    config.get("config", config).pop("convt", None)
    written["config"]["layers"][-1]["config"].pop("convt", None)
    model = keras.saving.deserialize_keras_object(written)
    (read,) = model.layers
    expected, found = layer_of(config).get_config(), read.get_config()
    name = config.get("config", config).get("name")
    if name is not None and read.name != name:
        return f"the name is {read.name}, expected {name}"
    expected, found = ({**comparable(c), "name": None} for c in (expected, found))
    for key in {**expected, **found}:
        if expected.get(key) != found.get(key):
            return f"{key} is {found.get(key)}, expected {expected.get(key)}"
    return None


def main():
    cases, written = map(pathlib.Path, sys.argv[1:])
    count = differences = 0
    for path in sorted(cases.glob("layer-*.npz")):
        count += 1
        try:
            wrong = difference(read_case(path)[0], (written / path.with_suffix(".json").name).read_text())
        except Exception as error:  # Keras refuses, or there is no file
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            differences += 1
            print(f"DIFFERS {path.stem}: {wrong[:300]}")
    print(f"configs that Keras reads again: {count} cases, {differences} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
