"""Loss cases: value and gradient of Keras' losses over images, with reductions and sample weights."""

import kerasenv  # noqa: F401
from draw import chance, choice, decimal, dyadic, integer

import jax
import jax.numpy as jnp
import keras
import numpy as np


def no_arguments(rng):
    return {}


def logits(rng):
    return {"from_logits": True} if chance(rng, 0.5) else {}


def crossentropy(rng):
    return {**logits(rng), **({"label_smoothing": decimal(rng, 0.05, 0.3)} if chance(rng, 0.5) else {})}


def focal(rng):
    config = crossentropy(rng)
    if chance(rng, 0.6):
        config.update(alpha=decimal(rng, 0.1, 0.9), gamma=choice(rng, [1.0, 1.5, 3.0]), apply_class_balancing=True)
    return config


# Class name, arguments, what the numbers are.
LOSSES = [
    ("MeanSquaredError", no_arguments, "reals"),
    ("MeanAbsoluteError", no_arguments, "reals"),
    ("MeanAbsolutePercentageError", no_arguments, "reals"),
    ("MeanSquaredLogarithmicError", no_arguments, "probabilities"),
    ("Huber", lambda rng: {"delta": decimal(rng, 0.2, 0.9)} if chance(rng, 0.6) else {}, "reals"),
    ("LogCosh", no_arguments, "reals"),
    ("CosineSimilarity", no_arguments, "reals"),
    ("KLDivergence", no_arguments, "probabilities"),
    ("BinaryCrossentropy", crossentropy, "probabilities"),
    ("BinaryFocalCrossentropy", focal, "probabilities"),
    ("CategoricalCrossentropy", crossentropy, "classes"),
    ("SparseCategoricalCrossentropy", logits, "labels"),
    ("Poisson", no_arguments, "probabilities"),
    ("Dice", no_arguments, "probabilities"),
    ("Tversky", lambda rng: {"alpha": decimal(rng, 0.2, 0.8), "beta": decimal(rng, 0.2, 0.8)} if chance(rng, 0.6) else {},
     "probabilities"),
]  # fmt: skip
OVER_THE_BATCH = ("Dice", "Tversky")
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"]


def numbers(rng, kind, shape, from_logits):
    """target, prediction: multiples of 1/64 and odd multiples of 1/128, so that no difference is 0 or a round delta."""
    if kind == "reals":
        return dyadic(rng, shape, 2), dyadic(rng, shape, 2) + 1 / 128
    prediction = rng.integers(2, 62, shape) / 64 + 1 / 128
    if from_logits:
        prediction = dyadic(rng, shape, 4) + 1 / 128
    if kind == "probabilities":
        target = rng.integers(0, 65, shape) / 64 if chance(rng, 0.5) else rng.integers(0, 2, shape).astype(float)
        return target, prediction
    labels = rng.integers(0, shape[-1], (*shape[:-1], 1))
    if kind == "labels":
        return labels, prediction
    return (labels == np.arange(shape[-1])).astype(float), prediction


def case(rng, index):
    name, draw_config, kind = LOSSES[index % len(LOSSES)]
    config = draw_config(rng)
    if chance(rng, 0.7):
        config["reduction"] = choice(rng, REDUCTIONS)
    shape = (integer(rng, 1, 4), integer(rng, 1, 5), integer(rng, 1, 6), integer(rng, 2, 6))
    target, prediction = numbers(rng, kind, shape, config.get("from_logits", False))
    arrays = {"target": target, "prediction": prediction}
    weight = None
    if name not in OVER_THE_BATCH and chance(rng, 0.5):
        weight = np.abs(dyadic(rng, (shape[0], 1, 1) if chance(rng, 0.5) else shape[:-1], 2))
        arrays["sample_weight"] = weight
    loss = getattr(keras.losses, name).from_config(config)
    value, gradient = jax.jit(jax.value_and_grad(lambda p: jnp.asarray(loss(target, p, weight))))(prediction)
    arrays.update(loss=value, dy=gradient)
    data_format = choice(rng, ["channels_last", "channels_first"])
    return {"kind": "loss", "class_name": name, "config": config, "data_format": data_format}, arrays
