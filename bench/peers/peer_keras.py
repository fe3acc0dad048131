"""Keras on the backend that KERAS_BACKEND names: training steps of the default decoder. See protocol.py."""

import importlib
import os

import keras
import numpy as np
from keras import layers

from protocol import serve


def decoder(jit):
    def up(filters, kernel, strides=1, padding="same", activation="relu"):
        return layers.Conv2DTranspose(filters, kernel, strides, padding, activation=activation,
                                      kernel_constraint=keras.constraints.MaxNorm(2))

    model = keras.Sequential([keras.Input((1, 1, 32)), up(64, 7, padding="valid"), up(64, 3, 2), up(32, 3, 2),
                              up(1, 3, activation=None)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.BinaryCrossentropy(from_logits=True),
                  jit_compile=jit)
    return model


def measure_step(batch):
    random = np.random.default_rng(0)
    codes = random.standard_normal((batch, 1, 1, 32), np.float32)
    images = random.random((batch, 28, 28, 1), np.float32)
    for name, jit in {"graph": False, "compiled": True}.items():
        if not (jit is False and keras.backend.backend() == "jax"):
            model = decoder(jit)
            model.train_on_batch(codes, images)  # traces and compiles
            yield "step", name, lambda model=model: float(model.train_on_batch(codes, images))


def measure_shape(_):
    return ()


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["OMP_NUM_THREADS"]))
backend = importlib.import_module(keras.backend.backend()).__version__
serve(f"{backend} (Keras {keras.__version__})", measure_shape, measure_step)
