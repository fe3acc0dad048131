"""Writes refusals.json: what Keras refuses, what it says, and the argument that a message must name.

    python refusals.py [OUT]

Each entry holds one wrong thing, or two: then `argument` is the one that Keras meets first. The program fails where Keras
does not refuse, so that no entry can be mistaken.
"""

import itertools
import json
import os
import pathlib
import sys

import kerasenv  # noqa: F401

import keras
import numpy as np

BASE = {"filters": 3, "kernel_size": 3, "dtype": "float64"}
X = [1, 4, 4, 2]


def nested(class_name, module=None, **config):
    """A serialized object; Keras finds layers and schedules by their module alone."""
    return {**({"module": module} if module else {}), "class_name": class_name, "config": config}


def activation_layer(class_name, **config):
    return nested(class_name, "keras.layers", **config)


# Argument: values that the constructor refuses. The first one also goes into pairs.
CONSTRUCTOR = {
    "name": ["up/1", 3, ["up"]],
    "dtype": ["float99", 3, ["float32"], {"class_name": "DTypePolicy", "config": {"name": "float99"}}],
    "groups": [1, 2],
    "filter": [3],
    "kernel": [[3, 3]],
    "strides_": [2],
    "padding_mode": ["zeros"],
    "trainable": ["yes", 1, None],
    "activity_regularizer": ["l3", "l1_l2", nested("L1", l1=-1.0), nested("Ridge", l2=1.0), 3],
    "kernel_size": [0, -1, [3, 0], [3], [3, 3, 3], [], "3", "33", ["a", 3], None, {"h": 3}, 2.5, [[3], [3]]],
    "strides": [0, -2, [1, 0], [1], [1, 2, 3], "2", None, 1.5, [None, 1]],
    "dilation_rate": [0, -1, [0, 1], [2], [1, 1, 1], "x", None, 0.5],
    "padding": ["full", "causal", "", 3, None, True, {"padding": "same"}],
    "output_padding": [-1, [0, -1], [0], [0, 0, 0], "1", 0.5, ["a", 0]],
    "data_format": ["nhwc", "channels-first", "", 3, ["channels_last"]],
    "activation": ["rellu", "ReLU", "prelu", 3, [], True, nested("ReLU"), nested("Swish", "keras.layers"),
                   activation_layer("ReLU", negative_slope=-1.0), activation_layer("ReLU", max_value=-1.0),
                   activation_layer("ReLU", threshold=-0.5), activation_layer("ReLU", negative_slope=None),
                   activation_layer("ReLU", slope=0.5), activation_layer("LeakyReLU", negative_slope=None),
                   activation_layer("LeakyReLU", gain=0.5)],
    "kernel_initializer": ["glorot", "xavier", 3, nested("VarianceScaling", scale=0.0), nested("VarianceScaling", scale=-1.0),
                           nested("VarianceScaling", mode="fan"), nested("VarianceScaling", distribution="gauss"),
                           nested("RandomNormal", sigma=1.0), nested("HeNormal", mode="fan_in"), nested("Gauss"), {}],
    "bias_initializer": ["zeroes", 3, nested("Zeros", value=1.0), nested("VarianceScaling", mode="avg")],
    "kernel_regularizer": ["l1_l2", "ridge", 3, nested("L1", l1=-0.1), nested("L2", l2=-0.1), nested("L1L2", l1=0.1, l2=-0.1),
                           nested("L2", l2="a"), nested("L2", l3=0.1), nested("L1L2", l1=None, l2=[0.1]), nested("Lasso")],
    "bias_regularizer": ["l0", nested("L2", l2=-1.0), 3],
    "kernel_constraint": ["maxnorm", "positive", 3, nested("MaxNorm", maximum=1.0), nested("Norm"), nested("NonNeg", axis=0)],
    "bias_constraint": ["nonneg", nested("UnitNorm", max_value=1.0), 3],
    "filters": [0, -3, "3", [3]],
}  # fmt: skip

# Rules between arguments: what is named, the arguments.
RULES = [
    ("output_padding", {"output_padding": 1}),
    ("output_padding", {"output_padding": [0, 1]}),
    ("output_padding", {"output_padding": 2, "strides": 2}),
    ("output_padding", {"output_padding": [1, 1], "strides": [2, 1]}),
    ("output_padding", {"output_padding": 1, "dilation_rate": 2}),
    ("dilation_rate", {"strides": 2, "dilation_rate": 2}),
    ("dilation_rate", {"strides": [2, 1], "dilation_rate": [1, 2]}),
    ("dilation_rate", {"strides": 3, "dilation_rate": [1, 2], "output_padding": 2}),
]

# Found when the layer is built or called: what is named, the config, and what else the case holds.
CALLS = [
    ("filters", {"filters": None}, {}),
    ("filters", {"filters": 2.5}, {}),
    ("kernel_size", {"kernel_size": [2.5, 3]}, {}),
    ("kernel_initializer", {"kernel_initializer": "identity"}, {}),
    ("kernel_initializer", {"kernel_initializer": nested("Identity", gain=2.0)}, {}),
    ("kernel_initializer", {"kernel_initializer": nested("STFT")}, {}),
    ("bias_initializer", {"bias_initializer": "orthogonal"}, {}),
    ("bias_initializer", {"bias_initializer": nested("Identity")}, {}),
    ("bias_initializer", {"bias_initializer": nested("STFT")}, {}),
    ("kernel_regularizer", {"kernel_regularizer": "orthogonal_regularizer"}, {}),
    ("kernel_regularizer", {"kernel_regularizer": nested("OrthogonalRegularizer", factor=0.1)}, {}),
    ("bias_regularizer", {"bias_regularizer": nested("OrthogonalRegularizer")}, {}),
    ("activity_regularizer", {"activity_regularizer": nested("OrthogonalRegularizer")}, {}),
    ("activation", {"activation": "threshold"}, {}),
    ("activation", {"activation": "glu"}, {}),
    ("activation", {"activation": "glu", "filters": 4, "data_format": "channels_first"}, {"x": [1, 2, 3, 3]}),
    ("padding", {"padding": ["same"]}, {}),
    ("x", {}, {"x": [4, 4, 2]}),
    ("x", {}, {"x": [4, 2]}),
    ("x", {}, {"x": [1, 1, 4, 4, 2]}),
    ("x", {}, {"build_config": {"input_shape": [None, 4, 4, 5]}}),
    ("x", {"data_format": "channels_first"}, {"build_config": {"input_shape": [None, 4, 4, 4]}, "x": [1, 2, 4, 4]}),
    ("kernel", {}, {"kernel": [3, 3, 2, 3]}),
    ("kernel", {}, {"kernel": [3, 3, 3, 4]}),
    ("kernel", {}, {"kernel": [2, 3, 3, 2]}),
    ("kernel", {}, {"kernel": [9, 3, 2]}),
    ("bias", {}, {"bias": [2]}),
    ("bias", {}, {"bias": [1, 3, 1]}),
]


def schedule(class_name, **config):
    return nested(class_name, "keras.optimizers.schedules", **config)


# Argument: optimizer configs.
OPTIMIZERS = [
    ("learning_rate", {"learning_rate": 1}),
    ("learning_rate", {"learning_rate": "0.1"}),
    ("learning_rate", {"learning_rate": None}),
    ("learning_rate", {"learning_rate": [0.1]}),
    ("learning_rate", {"learning_rate": nested("ExponentialDecay", initial_learning_rate=0.1, decay_steps=1, decay_rate=0.5)}),
    ("learning_rate", {"learning_rate": schedule("LinearDecay", initial_learning_rate=0.1)}),
    ("decay_steps", {"learning_rate": schedule("ExponentialDecay", initial_learning_rate=0.1, decay_steps=0, decay_rate=0.5)}),
    ("decay_steps", {"learning_rate": schedule("InverseTimeDecay", initial_learning_rate=0.1, decay_steps=-1, decay_rate=0.5)}),
    ("decay_steps", {"learning_rate": schedule("PolynomialDecay", initial_learning_rate=0.1, decay_steps=0)}),
    ("decay_steps", {"learning_rate": schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=0)}),
    ("first_decay_steps", {"learning_rate": schedule("CosineDecayRestarts", initial_learning_rate=0.1, first_decay_steps=0)}),
    ("decay_steps", {"learning_rate": schedule("CosineDecay", initial_learning_rate=0.1)}),
    ("decay_rate", {"learning_rate": schedule("ExponentialDecay", initial_learning_rate=0.1, decay_steps=5)}),
    ("initial_learning_rate", {"learning_rate": schedule("PolynomialDecay", decay_steps=5)}),
    ("rate", {"learning_rate": schedule("CosineDecay", initial_learning_rate=0.1, decay_steps=5, rate=0.1)}),
    ("values", {"learning_rate": schedule("PiecewiseConstantDecay", boundaries=[1, 2], values=[0.1, 0.2])}),
    ("boundaries", {"learning_rate": schedule("PiecewiseConstantDecay", values=[0.1])}),
    ("momentum", {"momentum": 1}),
    ("momentum", {"momentum": 1.5}),
    ("momentum", {"momentum": -0.1}),
    ("momentum", {"momentum": "0.9"}),
    ("momentum", {"momentum": None}),
    ("clipnorm", {"clipnorm": 1.0, "clipvalue": 1.0}),
    ("clipnorm", {"clipnorm": 1.0, "global_clipnorm": 1.0}),
    ("clipvalue", {"clipvalue": 1.0, "global_clipnorm": 1.0}),
    ("ema_momentum", {"use_ema": True, "ema_momentum": 1.5}),
    ("ema_momentum", {"use_ema": True, "ema_momentum": -0.5}),
    ("ema_overwrite_frequency", {"use_ema": True, "ema_overwrite_frequency": 1.5}),
    ("ema_overwrite_frequency", {"use_ema": True, "ema_overwrite_frequency": -1}),
    ("gradient_accumulation_steps", {"gradient_accumulation_steps": 1}),
    ("gradient_accumulation_steps", {"gradient_accumulation_steps": -2}),
    ("dampening", {"dampening": 0.1}),
    ("lr", {"lr": 0.1}),
]  # fmt: skip


def said(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if line.startswith("Exception encountered: ")), lines[0] if lines else "")
    text = text.removeprefix("Exception encountered: ").split(" Target variable:")[0]  # its values are random
    return f"{type(error).__name__}: {text[:300]}"


def construct(config):
    return keras.layers.Conv2DTranspose.from_config(json.loads(json.dumps(config)))


def call(config, extra):
    layer = construct(config)
    if "build_config" in extra:
        layer.build_from_config(extra["build_config"])
    x = np.ones(extra.get("x", X))
    if "kernel" in extra or "bias" in extra:
        layer.build(x.shape)
        for name in ("kernel", "bias"):
            if name in extra:
                getattr(layer, name).assign(np.ones(extra[name]))
    layer(x)
    return layer.losses


def refusal(stage, action, *arguments):
    """What Keras says, or None."""
    try:
        action(*arguments)
    except Exception as error:  # whatever it is: Keras refuses
        return said(error)
    return None


def entries():
    """Entries, and complaints where Keras does not refuse."""
    singles = {}
    for argument, values in CONSTRUCTOR.items():
        for value in values:
            config = {**BASE, argument: value}
            keras_says = refusal("constructor", construct, config)
            singles.setdefault(argument, (value, keras_says))
            yield {"argument": argument, "stage": "constructor", "config": config, "keras": keras_says}
    for argument, changes in RULES:
        config = {**BASE, **changes}
        yield {"argument": argument, "stage": "constructor", "config": config,
               "keras": refusal("constructor", construct, config)}  # fmt: skip
    # What stands between two errors of one call is the order in which Keras looks.
    for (first, (a, said_a)), (second, (b, said_b)) in itertools.combinations(singles.items(), 2):
        config = {**BASE, first: a, second: b}
        keras_says = refusal("constructor", construct, config) or ""
        named = [name for name, text in ((first, said_a), (second, said_b)) if text == keras_says]
        if len(named) != 1:  # the message quotes both (unknown keys do)
            continue
        yield {"argument": named[0], "stage": "constructor", "config": config, "keras": keras_says}
    late = {"output_padding": 2, "strides": 2}
    for argument in singles:
        if argument not in late:
            config = {**BASE, **late, argument: singles[argument][0]}
            yield {"argument": argument, "stage": "constructor", "config": config,
                   "keras": refusal("constructor", construct, config)}  # fmt: skip
    config = {**BASE, "output_padding": 3, "strides": 2, "dilation_rate": 2}
    yield {"argument": "output_padding", "stage": "constructor", "config": config,
           "keras": refusal("constructor", construct, config)}  # fmt: skip
    for argument, changes, extra in CALLS:
        config = {**BASE, **changes}
        assert refusal("constructor", construct, config) is None, ("not a matter of build or call", config)
        if "build_config" in extra:
            stored = {"module": "keras.layers", "class_name": "Conv2DTranspose", "config": config, "registered_name": None,
                      "build_config": extra["build_config"]}  # fmt: skip
        else:
            stored = config
        yield {"argument": argument, "stage": "call", "config": stored, "keras": refusal("call", call, config, extra),
               **{key: value for key, value in extra.items() if key != "build_config"}}  # fmt: skip
    for argument, sgd in OPTIMIZERS:
        yield {"argument": argument, "stage": "optimizer", "config": BASE, "sgd": sgd,
               "keras": refusal("optimizer", keras.optimizers.SGD.from_config, json.loads(json.dumps(sgd)))}  # fmt: skip


def main():
    if os.environ.get("PYTHONHASHSEED") != "0":  # messages show sets: in the same order every time
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("refusals.json")
    everything = [{"x": X, **entry} for entry in entries()]
    accepted = [entry for entry in everything if not entry["keras"]]
    for entry in accepted:
        print("Keras accepts:", json.dumps(entry))
    out.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in everything if entry["keras"]) + "\n]\n")
    print(f"{len(everything) - len(accepted)} refusals")
    sys.exit(1 if accepted else 0)


if __name__ == "__main__":
    main()
