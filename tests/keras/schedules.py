"""Schedule cases: the learning rate at each step."""

import kerasenv  # noqa: F401
import optimizers
from draw import decimal

import keras
import numpy as np

STEPS = 40


def case(rng, index):
    config = optimizers.random_schedule(rng, decimal(rng, 0.01, 0.5), index)
    schedule = keras.optimizers.schedules.deserialize(config)
    steps = np.arange(STEPS)
    rates = np.array([float(schedule(int(step))) for step in steps])
    return {"kind": "schedule", "schedule": config}, {"steps": steps, "rates": rates}
