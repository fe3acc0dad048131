"""Random numbers and choices of all kinds of cases."""

import numpy as np


def generator(seed, kind, index):
    """The same numbers for the same case, whatever was generated before it."""
    return np.random.default_rng([seed, sum(map(ord, kind)), index])


def chance(rng, probability):
    return rng.random() < probability


def choice(rng, values):
    return values[int(rng.integers(len(values)))]


def integer(rng, low, high):
    """low..high, both included."""
    return int(rng.integers(low, high + 1))


def dyadic(rng, shape, reach=1.0):
    """Multiples of 1/64 without 0: exact in float32, and small in a deflated file."""
    steps = max(1, int(reach * 64))
    return rng.integers(1, steps + 1, shape) * rng.choice([-1, 1], shape) / 64.0


def decimal(rng, low, high):
    """A number as people write it in a config."""
    return round(float(rng.uniform(low, high)), 3)


def one_or_two(rng, draw):
    """An int for both axes, or a list of two."""
    return draw() if chance(rng, 0.3) else [draw(), draw()]
