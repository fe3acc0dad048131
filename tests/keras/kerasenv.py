"""Keras on JAX in float64, on the CPU; import this before keras or jax."""

import os
import warnings

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", category=UserWarning)

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
# Cases are tiny: nearly all their time is compilation.
jax.config.update("jax_disable_most_optimizations", True)

import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402

# With float32 Keras would round learning rates and factors to float32.
keras.config.set_floatx("float64")

# On JAX, Keras' promotion rules turn float64 into float32 in the middle of a computation (tanh, cos, mean, ...); on
# TensorFlow they do not.
keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def absolute(x):
    """|x| with slope 0 at 0, as TensorFlow and PyTorch have it; JAX has 1 there, and a non_neg constraint makes zeros
    that an l1 regularizer sees."""
    x = jnp.asarray(x)
    return jnp.where(x == 0, jnp.zeros_like(x), jnp.abs(x))


keras.src.ops.absolute = absolute


def sparsemax(x):
    """The projection onto the simplex along the last axis (Martins & Astudillo 2016). Keras 3.15 sums the cumulative
    sums and its rows do not add up to 1."""
    ordered = -jnp.sort(-x, axis=-1)
    total = jnp.cumsum(ordered, axis=-1)
    place = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    size = jnp.sum(1 + place * ordered > total, axis=-1, keepdims=True)
    threshold = (jnp.take_along_axis(total, size - 1, axis=-1) - 1) / size
    return jnp.maximum(x - threshold, 0)


# What stands in for an activation where Keras 3.15 contradicts its own definition.
CORRECTED = {"sparsemax": sparsemax}
