"""SGD with random arguments, the learning-rate schedules, and steps of optimizer.apply."""

from draw import chance, choice, decimal, integer
from store import Skip

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np

NEAREST_NORM = 1e-3  # a norm-based constraint divides by the norm


# ---- configs ----------------------------------------------------------------------------------------------------------


SCHEDULES = ["ExponentialDecay", "InverseTimeDecay", "PiecewiseConstantDecay", "PolynomialDecay", "CosineDecay",
             "CosineDecayRestarts"]  # fmt: skip


def random_schedule(rng, rate, index=None):
    """One of Keras' six schedules; the one that index counts to, where it is given."""
    steps = integer(rng, 1, 12)
    name = choice(rng, SCHEDULES) if index is None else SCHEDULES[index % len(SCHEDULES)]
    if name in ("ExponentialDecay", "InverseTimeDecay"):
        config = {"initial_learning_rate": rate, "decay_steps": steps, "decay_rate": decimal(rng, 0.2, 0.95)}
        if chance(rng, 0.5):
            config["staircase"] = chance(rng, 0.7)
    elif name == "PiecewiseConstantDecay":
        count = integer(rng, 1, 4)
        boundaries = sorted(set(integer(rng, 1, 12) for _ in range(count)))
        config = {"boundaries": boundaries, "values": [decimal(rng, 0.001, rate) for _ in range(len(boundaries) + 1)]}
    elif name == "PolynomialDecay":
        config = {"initial_learning_rate": rate, "decay_steps": steps}
        if chance(rng, 0.5):
            config.update(end_learning_rate=rate / 8, power=choice(rng, [1.0, 2.0, 0.5]), cycle=chance(rng, 0.5))
    elif name == "CosineDecay":
        config = {"initial_learning_rate": rate, "decay_steps": steps}
        if chance(rng, 0.5):
            config["alpha"] = decimal(rng, 0, 0.5)
        if chance(rng, 0.5):
            config.update(warmup_target=2 * rate, warmup_steps=integer(rng, 1, 5))
    else:
        config = {"initial_learning_rate": rate, "first_decay_steps": steps}
        if chance(rng, 0.6):
            # t_mul such that a restart is no matter of the last bit of a logarithm
            config.update(t_mul=choice(rng, [1.0, 1.37, 2.13]), m_mul=choice(rng, [1.0, 0.8]), alpha=decimal(rng, 0, 0.3))
    if chance(rng, 0.5):  # missing keys are defaults; the module cannot be missing
        return {"module": "keras.optimizers.schedules", "class_name": name, "config": config, "registered_name": None}
    schedule = getattr(keras.optimizers.schedules, name)(**config)
    return as_json(keras.saving.serialize_keras_object(schedule))


def as_json(config):
    return json.loads(json.dumps(config))


def random_sgd(rng):
    rate = choice(rng, [0.01, 0.02, 0.05, 0.003])
    config = {}
    if chance(rng, 0.85):
        config["learning_rate"] = random_schedule(rng, rate) if chance(rng, 0.5) else rate
    if chance(rng, 0.6):
        config["momentum"] = choice(rng, [0.0, 0.5, 0.9, 0.75, 1.0])
        config["nesterov"] = chance(rng, 0.5)
    if chance(rng, 0.35):
        config["weight_decay"] = choice(rng, [0.0, 0.1, 0.004])
    if chance(rng, 0.5):
        config[choice(rng, ["clipnorm", "clipvalue", "global_clipnorm"])] = choice(rng, [0.53, 1.07, 2.51, 20.0])
    if chance(rng, 0.35):
        config["use_ema"] = True
        config["ema_momentum"] = choice(rng, [0.99, 0.9, 0.5])
        if chance(rng, 0.8):
            config["ema_overwrite_frequency"] = integer(rng, 1, 3)
    if chance(rng, 0.25):
        config["loss_scale_factor"] = choice(rng, [2.0, 0.5, 3.0])
    if chance(rng, 0.3):
        config["gradient_accumulation_steps"] = integer(rng, 2, 3)
    if chance(rng, 0.5):
        return config
    return as_json(keras.optimizers.SGD.from_config(dict(config)).get_config())


# ---- steps ------------------------------------------------------------------------------------------------------------


class Stepper:
    """K calls of optimizer.apply, gradients recomputed at the present parameters."""

    def __init__(self, config, judge):
        self.judge = judge
        self.variables = list(judge.layer.trainable_variables)
        self.optimizer = keras.optimizers.SGD.from_config(as_json(config))
        if not self.variables:
            return
        self.optimizer.build(self.variables)
        self.start = [jnp.asarray(v.value) for v in self.optimizer.variables]
        for variable in self.variables:
            if variable.constraint is not None:
                variable.constraint = self._watched(variable.constraint)
        self.apply = jax.jit(self._apply)

    def _watched(self, constraint):
        """The same constraint; notes how near to its own kink a weight came."""

        def constrained(w):
            w = jnp.asarray(w)
            axis = getattr(constraint, "axis", ())
            self.nearest.append(jnp.min(jnp.sqrt(jnp.sum(jnp.square(w), axis=tuple(np.atleast_1d(axis)), keepdims=True)))
                                if axis != () else jnp.inf)  # fmt: skip
            return constraint(w)

        return constrained

    def _apply(self, state, gradients, parameters):
        self.nearest = [jnp.asarray(jnp.inf)]
        parameters, state = self.optimizer.stateless_apply(state, gradients, parameters)
        return parameters, state, jnp.min(jnp.stack([jnp.asarray(n) for n in self.nearest]))

    def run(self, steps, x, dy, parameters, check):
        state = getattr(self, "start", None)
        for _ in range(steps):
            if not self.variables:
                break
            (_, out), (dx, dw) = self.judge.evaluate(x, parameters, dy)
            check(out, (dx, dw), parameters)
            parameters, state, nearest = self.apply(state, list(dw), list(parameters))
            if nearest < NEAREST_NORM:
                raise Skip("a constraint divides by a norm near 0")
        return parameters
