"""Layer cases: Conv2DTranspose over its argument grid, and steps of SGD."""

import collections
import functools
import json

import kerasenv
import optimizers
from draw import chance, choice, decimal, dyadic, integer, one_or_two
from store import Skip

import jax
import jax.numpy as jnp
import keras
import numpy as np

# Name: places where the slope jumps. Every activation that a bare string names (threshold: see ARGUED).
ACTIVATIONS = {
    "linear": [], "relu": [0], "relu6": [0, 6], "leaky_relu": [0], "elu": [0], "selu": [0], "celu": [0], "sigmoid": [],
    "hard_sigmoid": [-3, 3], "log_sigmoid": [], "sparse_sigmoid": [-1, 1], "softplus": [], "softsign": [],
    "squareplus": [], "sparse_plus": [], "exponential": [], "silu": [], "swish": [], "hard_silu": [-3, 3],
    "hard_swish": [-3, 3], "mish": [], "gelu": [], "tanh": [], "hard_tanh": [-1, 1], "tanh_shrink": [],
    "soft_shrink": [-0.5, 0.5], "hard_shrink": [-0.5, 0.5], "softmax": [], "log_softmax": [], "sparsemax": [],
    "glu": [],
}  # fmt: skip
AXIS_ACTIVATIONS = ("softmax", "log_softmax", "sparsemax", "glu")
# Arguments that Keras' JSON has no words for: its function gets them, the stored config has them in a "convt" object.
ARGUED = {
    "celu": lambda rng: ({"alpha": choice(rng, [0.5, 1.75])}, [0]),
    "squareplus": lambda rng: ({"b": choice(rng, [0.25, 1.0, 9.0])}, []),
    "gelu": lambda rng: ({"approximate": True}, []),
    "soft_shrink": lambda rng: both_sides(choice(rng, [0.125, 0.25, 1.0])),
    "hard_shrink": lambda rng: both_sides(choice(rng, [0.125, 0.25, 1.0])),
    "threshold": lambda rng: ({"threshold": 0.25, "default_value": choice(rng, [-1.0, 0.0, 0.5])}, [0.25]),
}
LAYER_ACTIVATIONS = ("ReLU", "LeakyReLU", "ELU", "Softmax")
DRAWS = 40  # of data, until no value sits on a kink
MOST_OUTPUTS = 700
DISTANCE = 1e-5  # from a kink, of the largest value: float32 must fall on the same side
NEAREST_WEIGHT = 2e-6  # to the kink of an l1 regularizer


def both_sides(threshold):
    return {"threshold": threshold}, [-threshold, threshold]


# ---- configs ----------------------------------------------------------------------------------------------------------


def random_activation(rng, index):
    """The config's entry, the name that decides, its kinks, its arguments where they stand in a "convt" object."""
    kinds = list(ACTIVATIONS) + list(LAYER_ACTIVATIONS) + [(name,) for name in ARGUED]
    name = kinds[index % len(kinds)]
    if isinstance(name, tuple):
        arguments, kinks = ARGUED[name[0]](rng)
        return name[0], name[0], kinks, arguments
    if name in ACTIVATIONS:
        entry = name
        if name == "linear" and chance(rng, 0.3):
            entry = None
        elif chance(rng, 0.1):
            entry = {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
            if name in ("swish", "hard_swish"):  # aliases of strings alone
                entry = name
        return entry, name, ACTIVATIONS[name], None
    config, kinks = {}, [0]
    if name == "ReLU":
        threshold = choice(rng, [0.0, 0.0, 0.5, 0.25])
        most = choice(rng, [None, 1.0, 2.5, 6.0])
        config = {"negative_slope": choice(rng, [0.0, 0.1, 0.25]), "max_value": most, "threshold": threshold}
        kinks = [threshold] + ([most] if most is not None else [])
    elif name == "LeakyReLU":
        config = {"negative_slope": choice(rng, [0.3, 0.01, 0.5])}
    elif name == "ELU":
        config = {"alpha": choice(rng, [1.0, 0.5, 1.75])}
    elif name == "Softmax":
        config = {"axis": choice(rng, [-1, 3])}
    if chance(rng, 0.4):  # missing keys are defaults; the module cannot be missing
        return {"module": "keras.layers", "class_name": name, "config": config}, name, kinks, None
    activation = getattr(keras.layers, name)(**config)
    return plain(keras.saving.serialize_keras_object(activation)), name, kinks, None


def random_object(rng, table):
    """A regularizer, constraint or initializer: a string, a short or a full object."""
    name, draw_config = choice(rng, table)
    config = draw_config(rng)
    if config is None:
        return name
    if chance(rng, 0.5):
        return {"class_name": name, "config": config}
    module = next(m for m in ("regularizers", "constraints", "initializers") if hasattr(getattr(keras, m), name))
    return {"module": "keras." + module, "class_name": name, "config": config, "registered_name": None}


REGULARIZERS = [
    ("l1", lambda rng: None),
    ("l2", lambda rng: None),
    ("L2", lambda rng: None),
    ("L1", lambda rng: {"l1": decimal(rng, 0.01, 0.2)}),
    ("L2", lambda rng: {"l2": decimal(rng, 0.01, 0.2)}),
    ("L1L2", lambda rng: {"l1": decimal(rng, 0.01, 0.2), "l2": decimal(rng, 0.01, 0.2)}),
]


def constraints(rank):
    def axis(rng):
        if rank == 1:
            return choice(rng, [0, [0], -1])
        axes = choice(rng, [0, 1, 2, 3, -1, -4, [0], [0, 1], [0, 1, 2], [0, 1, 3], [3, 2], [-1, 0], [0, 1, 2, 3]])
        return axes

    return [
        ("non_neg", lambda rng: None),
        ("UnitNorm", lambda rng: None),
        ("max_norm", lambda rng: None),
        ("NonNeg", lambda rng: {}),
        ("UnitNorm", lambda rng: {"axis": axis(rng)}),
        ("MaxNorm", lambda rng: {"max_value": decimal(rng, 0.3, 1.5), "axis": axis(rng)}),
        ("MinMaxNorm", lambda rng: {"min_value": decimal(rng, 0.3, 0.6), "max_value": decimal(rng, 0.7, 1.5),
                                    "rate": choice(rng, [1.0, 0.5, 0.25]), "axis": axis(rng)}),
    ]  # fmt: skip


# Never drawn from here (the case gives kernel and bias), but read.
INITIALIZERS = [
    ("he_normal", lambda rng: None),
    ("GlorotUniform", lambda rng: None),
    ("zeros", lambda rng: None),
    ("ones", lambda rng: None),
    ("normal", lambda rng: None),
    ("lecun_uniform", lambda rng: None),
    ("RandomNormal", lambda rng: {"mean": 0.0, "stddev": decimal(rng, 0.01, 1), "seed": integer(rng, 0, 99)}),
    ("TruncatedNormal", lambda rng: {"mean": 0.1, "stddev": decimal(rng, 0.01, 1), "seed": None}),
    ("RandomUniform", lambda rng: {"minval": -0.25, "maxval": decimal(rng, 0.01, 1)}),
    ("Constant", lambda rng: {"value": decimal(rng, -1, 1)}),
    ("VarianceScaling", lambda rng: {"scale": decimal(rng, 0.5, 2), "mode": choice(rng, ["fan_in", "fan_out", "fan_avg"]),
                                     "distribution": choice(rng, ["truncated_normal", "untruncated_normal", "uniform"]),
                                     "seed": None}),
    ("HeUniform", lambda rng: {"seed": integer(rng, 0, 9999), "input_axes": None, "output_axes": None}),
]  # fmt: skip


def random_config(rng, index):
    """The keys that are not left at their defaults, what the activation is, its kinks and arguments."""
    config = {}
    activation, name, kinks, arguments = random_activation(rng, index)
    config["filters"] = 2 * integer(rng, 1, 5) if name == "glu" else integer(rng, 2, 9)
    if name not in AXIS_ACTIVATIONS + ("Softmax",):
        config["filters"] = choice(rng, [1, 3, integer(rng, 17, 33)]) if chance(rng, 0.3) else integer(rng, 1, 9)
    config["kernel_size"] = one_or_two(rng, lambda: integer(rng, 1, 5))
    if chance(rng, 0.7):
        config["strides"] = one_or_two(rng, lambda: integer(rng, 1, 4))
    if chance(rng, 0.5):
        config["padding"] = choice(rng, ["same", "same", "valid", "SAME"])
    strides = config.get("strides", 1)
    strides = [strides, strides] if isinstance(strides, int) else strides
    if chance(rng, 0.4):
        config["output_padding"] = [integer(rng, 0, s - 1) for s in strides]
        if config["output_padding"][0] == config["output_padding"][1] and chance(rng, 0.5):
            config["output_padding"] = config["output_padding"][0]
    if max(strides) == 1 and chance(rng, 0.5):
        config["dilation_rate"] = one_or_two(rng, lambda: integer(rng, 1, 3))
    if chance(rng, 0.5):
        config["data_format"] = choice(rng, ["channels_first", "channels_first", "channels_last"])
    if activation is not None or chance(rng, 0.5):
        config["activation"] = activation
    if chance(rng, 0.25):
        config["use_bias"] = False
    for key, table, probability in (
        ("kernel_initializer", INITIALIZERS, 0.4),
        ("bias_initializer", INITIALIZERS, 0.3),
        ("kernel_regularizer", REGULARIZERS, 0.4),
        ("bias_regularizer", REGULARIZERS, 0.3),
        ("activity_regularizer", REGULARIZERS, 0.4),
        ("kernel_constraint", constraints(4), 0.5),
        ("bias_constraint", constraints(1), 0.3),
    ):
        if chance(rng, probability):
            config[key] = random_object(rng, table)
    if chance(rng, 0.1):
        config["trainable"] = False
    if chance(rng, 0.3):
        config["name"] = choice(rng, ["up", "decoder_1", "conv2d_transpose_7", "a layer"])
    config["dtype"] = "float64"
    return config, name, kinks, arguments


def plain(config):
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(config))


def stored_form(rng, config, layer, input_shape):
    """The config as it was drawn, what get_config gives, or what serialize_keras_object gives."""
    form = choice(rng, ["drawn", "get_config", "serialized", "serialized and built"])
    if form == "drawn":
        return config
    # As Keras writes it; layer.activation may have been replaced by now.
    fresh = keras.layers.Conv2DTranspose.from_config(plain(config))
    fresh.name = layer.name
    if form == "get_config":
        return plain(fresh.get_config())
    if form == "serialized and built":
        fresh.build(input_shape)
    return plain(keras.saving.serialize_keras_object(fresh))


# ---- what Keras computes ----------------------------------------------------------------------------------------------


class Judge:
    """Keras' own layer as functions of its parameters, compiled once."""

    def __init__(self, config, replaced):
        self.layer = keras.layers.Conv2DTranspose.from_config(plain(config))
        self.activation = replaced or self.layer.activation
        self.layer.activation = self._activate
        self.model = keras.Sequential([self.layer])

    def _activate(self, z):
        self.z = z
        return self.activation(z)

    def build(self, shape):
        self.model.build(shape)
        self.output_shape = self.model.compute_output_shape(shape)
        self.has_bias = self.layer.bias is not None
        self.evaluate = jax.jit(jax.value_and_grad(self._value, argnums=(0, 1), has_aux=True))

    def _value(self, x, parameters, dy):
        trainable = [p for p in parameters] if self.layer.trainable else []
        frozen = [] if self.layer.trainable else [p for p in parameters]
        y, _, losses = self.model.stateless_call(trainable, frozen, x, return_losses=True)
        loss = sum(losses, start=jnp.zeros((), "float64"))
        return jnp.sum(dy * y) + loss, {"y": y, "loss": loss, "z": self.z}

    def reached(self, shape):
        """Where some tap contributes to the output (before the activation)."""
        config = {key: value for key, value in self.layer.get_config().items() if key in (
            "filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate")}
        ones = keras.layers.Conv2DTranspose(**config, kernel_initializer="ones", use_bias=False)
        return np.asarray(ones(np.ones(shape))) != 0  # fmt: skip


def near(values, places, unit):
    return any(np.any(np.abs(values - place) < unit * DISTANCE) for place in places)


class Sample:
    """One draw of numbers for a config, with the reason why it cannot be compared, if there is one."""

    def __init__(self, judge, name, kinks, reached):
        self.judge, self.name, self.kinks, self.reached = judge, name, kinks, reached
        layer = judge.layer
        self.l1_of = [self._has_l1(layer.kernel_regularizer), self._has_l1(layer.bias_regularizer)]
        self.l1_of_y = self._has_l1(layer.activity_regularizer)

    @staticmethod
    def _has_l1(regularizer):
        return regularizer is not None and float(regularizer.get_config().get("l1", 0)) > 0

    def check(self, out, gradients, parameters):
        """Raises Skip where float32 could fall on another side of a kink."""
        z, y = np.asarray(out["z"]), np.asarray(out["y"])
        everything = [z, y, out["loss"], gradients[0], *gradients[1]]
        if not all(np.all(np.isfinite(a)) for a in everything):
            raise Skip("not finite")
        if max(np.max(np.abs(a)) for a in everything) > 1e4:
            raise Skip("values grow beyond 1e4")
        unit = max(1.0, float(np.max(np.abs(z))))
        # Without a bias, a place that no tap reaches is exactly 0 and has no gradient.
        met = z if self.judge.has_bias else z[self.reached]
        if near(met, self.kinks, unit):
            raise Skip("a value sits on a kink of " + self.name)
        if self.name == "sparsemax":
            gap = np.where(y > 0, y, np.inf)
            if np.min(gap) < unit * DISTANCE or self._near_support(z, y, unit):
                raise Skip("a value sits at the edge of sparsemax' support")
        if self.l1_of_y:
            slope = np.ones_like(y)
            if self.name not in AXIS_ACTIVATIONS + ("Softmax",):
                slope = np.asarray(jax.jvp(self.judge.activation, (z,), (np.ones_like(z),))[1])
            if np.any((y != 0) & (np.abs(y) < unit * DISTANCE) & (np.abs(slope) > 1e-4)):
                raise Skip("an output near 0 under an l1 activity regularizer")
        for has_l1, w in zip(self.l1_of, parameters):
            w = np.asarray(w)
            if has_l1 and np.any((w != 0) & (np.abs(w) < NEAREST_WEIGHT)):
                raise Skip("a weight near 0 under an l1 regularizer")

    @staticmethod
    def _near_support(z, y, unit):
        """Does a value outside the support nearly belong to it?"""
        support = y > 0
        tau = np.max(np.where(support, z - y, -np.inf), axis=-1, keepdims=True)
        return bool(np.any(~support & (tau - z < unit * DISTANCE)))


def relative(a, b):
    return max((float(np.max(np.abs(np.asarray(p) - np.asarray(q)))) / float(np.max(np.abs(np.asarray(q))) or 1)
                for p, q in zip(a, b)), default=0.0)  # fmt: skip


def case(rng, index):
    """description, arrays"""
    keras.src.utils.naming.reset_uids()  # made-up names must not depend on what was made before
    config, name, kinks, arguments = random_config(rng, index)
    replaced = kerasenv.CORRECTED.get(name)
    if arguments:
        replaced = functools.partial(getattr(keras.activations, name), **arguments)
    wide = config["filters"] > 9
    channels = integer(rng, 1, 3) if wide else choice(rng, [1, 2, 3, 4, 5, 6, 8, 17])
    n, h, w = integer(rng, 1, 3), integer(rng, 1, 5), integer(rng, 1, 5)
    first = config.get("data_format") == "channels_first"
    shape = (n, channels, h, w) if first else (n, h, w, channels)
    steps = integer(rng, 1, 6) if chance(rng, 0.6) else 0
    sgd = optimizers.random_sgd(rng) if steps else None

    judge = Judge(config, replaced)
    z_shape = keras.layers.Conv2DTranspose.from_config(plain(config)).compute_output_shape(shape)
    if 0 in z_shape:
        raise Skip("an output without elements")
    while np.prod(z_shape) > MOST_OUTPUTS and max(n, h, w) > 1:
        n, h, w = max(1, n - 1), max(1, h - 1), max(1, w - 1)
        shape = (n, channels, h, w) if first else (n, h, w, channels)
        z_shape = judge.layer.compute_output_shape(shape)
        if 0 in z_shape:
            raise Skip("an output without elements")
    if np.prod(z_shape) > 2 * MOST_OUTPUTS:
        raise Skip("more outputs than a stored case should have")
    if name in AXIS_ACTIVATIONS + ("Softmax",) and z_shape[-1] < 2:
        raise Skip(name + " over a single element: nothing but rounding is left")
    if name == "glu" and z_shape[-1] % 2:
        raise Skip("glu over an axis of odd size, which Keras refuses")
    judge.build(shape)
    sample = Sample(judge, name, kinks, judge.reached(shape))
    kernel_shape = tuple(judge.layer.kernel.shape)
    y_shape = jax.eval_shape(lambda: judge.model.stateless_call(
        judge.model.trainable_variables, judge.model.non_trainable_variables, jnp.zeros(shape))[0]).shape  # fmt: skip
    stepper = optimizers.Stepper(sgd, judge) if steps else None
    reasons = collections.Counter()
    for _ in range(DRAWS):
        x, dy = dyadic(rng, shape), dyadic(rng, y_shape)
        kernel = dyadic(rng, kernel_shape, 2.0 / np.sqrt(1 + np.prod(kernel_shape[:2]) * channels / 9))
        parameters = [kernel] + ([dyadic(rng, kernel_shape[2:3])] if judge.has_bias else [])
        try:
            arrays = compare(rng, judge, sample, stepper, steps, x, dy, parameters)
            break
        except Skip as skip:
            reasons[str(skip)] += 1
    else:
        raise Skip(", ".join(f"{reason} ({count} draws)" for reason, count in reasons.most_common()))

    description = {"kind": "layer", "config": stored_form(rng, config, judge.layer, shape)}
    if arguments:
        stored = description["config"]
        stored = stored["config"] if "class_name" in stored else stored
        stored["convt"] = {"activation_arguments": arguments}
    if steps:
        description.update(sgd=sgd, steps=steps)
    return description, arrays


def compare(rng, judge, sample, stepper, steps, x, dy, parameters):
    """The arrays of a case; raises Skip where a comparison in float32 would mean nothing."""
    (_, out), (dx, dw) = judge.evaluate(x, parameters, dy)
    sample.check(out, (dx, dw), parameters)
    if min(float(np.max(np.abs(g))) for g in (dx, *dw)) < 1e-3:
        raise Skip("a gradient that is nearly 0 everywhere")
    names = ["kernel", "bias"][: len(parameters)]
    arrays = {"x": x, **dict(zip(names, parameters)), "dy": dy, "y": out["y"], "loss": out["loss"], "dx": dx}
    arrays.update({"d" + name: value for name, value in zip(names, dw)})

    # Rounding of float32 must stay small: a nudge of 1e-6 may grow a hundredfold, not more.
    nudge = lambda a: a * (1 + 1e-6 * rng.uniform(-1, 1, np.shape(a)))  # noqa: E731
    nudged = [nudge(p) for p in parameters]
    (_, out2), (dx2, dw2) = judge.evaluate(nudge(x), nudged, dy)
    if relative([out2["y"], dx2, *dw2], [out["y"], dx, *dw]) > 1e-4:
        raise Skip("ill-conditioned: float32 would say nothing")
    if steps:
        after = stepper.run(steps, x, dy, parameters, sample.check)
        if relative(stepper.run(steps, x, dy, nudged, sample.check), after) > 2e-5:
            raise Skip("ill-conditioned steps: float32 would say nothing")
        arrays.update({name + "_after": value for name, value in zip(names, after)})
    return arrays
