"""Whole decoders as real Keras computes them: tests/data/decoders/*.npz, for tests/test_lower.c.

A file is a model (config.json, <layer>/<variable>.npy) with a batch `x`, what the model predicts, `y`, and, where
training takes no statistics and draws nothing, `target` and the weights after one step of SGD on the mean squared
error, `after/<layer>/<variable>`.

    python tests/keras/decoders.py tests/data/decoders
"""

import io
import json
import os
import pathlib
import sys
import zipfile

os.environ["KERAS_BACKEND"] = "jax"  # it convolves channels first on a CPU

import keras
import numpy as np
from keras import layers as L

RATE = 0.05
LAST, FIRST = "channels_last", "channels_first"


def image(fmt, h, w, c):
    return (h, w, c) if fmt == LAST else (c, h, w)


def axis(fmt):
    return -1 if fmt == LAST else 1


def vae(fmt):
    """The decoder of the variational autoencoder in Keras' examples, from a smaller image, with fewer filters."""
    up = dict(kernel_size=3, padding="same", data_format=fmt)
    return (3,), [
        L.Dense(4 * 4 * 3, activation="relu"),
        L.Reshape(image(fmt, 4, 4, 3)),
        L.Conv2DTranspose(4, strides=2, activation="relu", **up),
        L.Conv2DTranspose(3, strides=2, activation="relu", **up),
        L.Conv2DTranspose(1, activation="sigmoid", **up),
    ]


def dcgan(fmt):
    """The generator of the DCGAN in Keras' examples, with fewer filters."""
    up = dict(kernel_size=4, strides=2, padding="same", data_format=fmt)
    return (6,), [
        L.Dense(2 * 2 * 4),
        L.Reshape(image(fmt, 2, 2, 4)),
        L.Conv2DTranspose(4, **up),
        L.LeakyReLU(negative_slope=0.2),
        L.Conv2DTranspose(5, **up),
        L.LeakyReLU(negative_slope=0.2),
        L.Conv2D(3, kernel_size=5, padding="same", activation="sigmoid", data_format=fmt),
    ]


def normalized(fmt):
    """As in TensorFlow's tutorial: BatchNormalization behind every layer, without biases."""
    up = dict(padding="same", use_bias=False, data_format=fmt)
    return (5,), [
        L.Dense(3 * 3 * 4, use_bias=False),
        L.BatchNormalization(),
        L.LeakyReLU(),
        L.Reshape(image(fmt, 3, 3, 4)),
        L.Conv2DTranspose(4, 5, strides=1, **up),
        L.BatchNormalization(axis=axis(fmt)),
        L.LeakyReLU(),
        L.Conv2DTranspose(2, 5, strides=2, activation="tanh", **up),
    ]


def norms(fmt):
    """Folded through a Reshape, folded twice, behind an activation, behind an upsampling, without gamma or beta."""
    return (4,), [
        L.Dense(2 * 3 * 4),
        L.Reshape(image(fmt, 2, 3, 4)),
        L.BatchNormalization(axis=axis(fmt), epsilon=0.01),
        L.BatchNormalization(axis=axis(fmt), scale=False),
        L.ReLU(),
        L.BatchNormalization(axis=axis(fmt), center=False),
        L.UpSampling2D(2, data_format=fmt),
        L.BatchNormalization(axis=axis(fmt)),
        L.Conv2D(3, (2, 3), data_format=fmt),
        L.BatchNormalization(axis=axis(fmt), scale=False, center=False),
    ]


def frozen(fmt):
    """BatchNormalization with trainable=False runs by its own statistics; all else trains."""
    norm = L.BatchNormalization(axis=axis(fmt))
    norm.trainable = False
    upper = L.Conv2D(2, 3, padding="same", data_format=fmt)
    upper.trainable = False
    return image(fmt, 4, 3, 2), [
        L.Conv2DTranspose(3, 3, strides=2, kernel_regularizer="l2", data_format=fmt),
        norm,
        L.ReLU(),
        upper,
    ]


def upsampled(fmt):
    """Nearest neighbours and convolutions instead of strides."""
    return image(fmt, 3, 4, 2), [
        L.UpSampling2D((2, 3), data_format=fmt),
        L.Conv2D(3, 3, padding="same", activation="elu", data_format=fmt),
        L.Dropout(0.0),
        L.UpSampling2D((1, 2), data_format=fmt),
        L.Activation("swish"),
        L.Conv2D(2, (4, 2), padding="same", data_format=fmt),
        L.ELU(alpha=0.5),
    ]


def padded(fmt):
    """Zeros in front of convolutions: within the kernel's reach, beyond it, and with nothing behind."""
    return image(fmt, 5, 6, 2), [
        L.ZeroPadding2D(((1, 0), (2, 1)), data_format=fmt),
        L.Conv2D(3, (2, 3), dilation_rate=(1, 2), data_format=fmt),
        L.ZeroPadding2D((3, 1), data_format=fmt),
        L.Conv2D(2, 3, padding="same", data_format=fmt),
        L.ZeroPadding2D(1, data_format=fmt),
        L.Activation("sigmoid"),
        L.Conv2DTranspose(2, 2, data_format=fmt),
        L.ZeroPadding2D(((0, 2), (1, 0)), data_format=fmt),
    ]


def cropped(fmt):
    """Crops that a layer can leave out itself, and others."""
    return image(fmt, 3, 4, 2), [
        L.Cropping2D(((0, 1), (1, 0)), data_format=fmt),
        L.Conv2DTranspose(2, 4, strides=2, activation="relu", data_format=fmt),
        L.Cropping2D(1, data_format=fmt),
        L.Conv2DTranspose(2, 2, strides=3, data_format=fmt),
        L.Cropping2D(((2, 1), (3, 4)), data_format=fmt),
        L.Conv2D(2, 3, padding="same", activity_regularizer="l2", data_format=fmt),
        L.Cropping2D((1, 2), data_format=fmt),
    ]


def convolved(fmt):
    """Conv2D with what it can have: dilation, even kernels, regularizers, constraints, no bias."""
    return image(fmt, 9, 8, 3), [
        L.Conv2D(4, (4, 3), dilation_rate=(2, 1), kernel_constraint=keras.constraints.MaxNorm(0.5, axis=[0, 1, 2]),
                 data_format=fmt),
        L.Conv2D(3, (2, 4), padding="same", use_bias=False, kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02),
                 activation="tanh", data_format=fmt),
        L.Conv2D(2, 3, padding="same", dilation_rate=2, bias_regularizer="l2", activity_regularizer="l1",
                 data_format=fmt),
    ]  # fmt: skip


def units(fmt):
    """Rows of numbers in and out, and everything a Dense can have."""
    return (5,), [
        L.Dense(6, activation="tanh", kernel_constraint=keras.constraints.UnitNorm(axis=0)),
        L.Dense(4, use_bias=False, kernel_regularizer="l2"),
        L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.25),
        L.Dense(3, activation="softmax" if fmt == LAST else "sigmoid", bias_constraint="non_neg",
                activity_regularizer=keras.regularizers.L2(0.1)),
    ]  # fmt: skip


def flattened(fmt):
    """Images in, units out, by Reshape and Flatten in the order of memory."""
    return image(fmt, 4, 3, 2), [
        L.Reshape(image(fmt, 6, 2, 2)),
        L.Conv2DTranspose(2, 2, data_format=fmt),
        L.Flatten(),
        L.Dense(12, activation="relu"),
        L.Reshape((-1,) + image(fmt, 2, 3, 2)[1:]),
        L.Conv2D(1, 2, data_format=fmt),
        L.Flatten(data_format=fmt),
    ]


def rescaled(fmt):
    """Pixels of 0 to 255, and back to them."""
    scale = [0.5, 2.0] if fmt == LAST else 0.5
    return image(fmt, 3, 3, 2), [
        L.Rescaling(1 / 127.5, offset=-1),
        L.Conv2DTranspose(2, 3, padding="same", data_format=fmt),
        L.Rescaling(scale, offset=[0.25] if fmt == LAST else 0.25),
        L.Activation("softplus"),
    ]


def dropped(fmt):
    """Dropout predicts, and changes nothing."""
    return (4,), [L.Dense(8, activation="relu"), L.Dropout(0.3), L.Reshape(image(fmt, 2, 2, 2)), L.Dropout(0.5)]


def pixels(fmt):
    """A Dense runs over the channels of each pixel, where these come last."""
    if fmt == FIRST:
        return None
    return (3, 4, 2), [
        L.Dense(4, activation="relu"),
        L.Conv2D(4, 3, padding="same"),
        L.Softmax(),
        L.Dense(2),
    ]


BUILDERS = [vae, dcgan, normalized, norms, frozen, upsampled, padded, cropped, convolved, units, flattened, rescaled,
            dropped, pixels]  # fmt: skip
FUNCTIONAL = (vae, dcgan, frozen)


def functional(shape, stack):
    x = keras.Input(shape)
    y = x
    for layer in stack:
        y = layer(y)
    return keras.Model(x, y)


def randomize(model, rng):
    for layer in model.layers:
        for variable in layer.variables:
            if variable.dtype != "float32":
                continue  # the state of a Dropout
            positive = variable.name in ("moving_variance", "gamma")
            low, high = (0.5, 1.5) if positive else (-0.6, 0.6)
            variable.assign(rng.uniform(low, high, variable.shape).astype("float32"))


def weights(model):
    return {f"{layer.name}/{v.name}": np.array(v) for layer in model.layers for v in layer.variables
            if v.dtype == "float32"}  # fmt: skip


def trains(model):
    """Nothing here takes statistics of a batch or draws numbers."""
    return not any(
        (isinstance(layer, L.BatchNormalization) and layer.trainable) or (isinstance(layer, L.Dropout) and layer.rate)
        for layer in model.layers
    )


def case(builder, fmt, is_functional):
    keras.backend.clear_session()
    rng = np.random.default_rng([BUILDERS.index(builder), fmt == FIRST, is_functional])
    built = builder(fmt)
    if built is None:
        return None
    shape, stack = built
    model = functional(shape, stack) if is_functional else keras.Sequential([keras.Input(shape), *stack])
    randomize(model, rng)
    arrays = weights(model)
    scale = 255 if builder is rescaled else 1
    x = (scale * rng.uniform(-1, 1, (2, *shape))).astype("float32")
    y = model.predict(x, verbose=0, batch_size=2)
    arrays |= {"x": x, "y": y}
    if trains(model):
        target = rng.uniform(0, 1, y.shape).astype("float32")
        model.compile(keras.optimizers.SGD(RATE), "mse")
        model.fit(x, target, batch_size=2, epochs=1, shuffle=False, verbose=0)
        arrays |= {"target": target} | {f"after/{name}": value for name, value in weights(model).items()}
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    return config, arrays


def store(path, config, arrays):
    date = (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("config.json", date), json.dumps(config), zipfile.ZIP_DEFLATED)
        for name, value in arrays.items():
            member = io.BytesIO()
            np.save(member, value)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date), member.getvalue(), zipfile.ZIP_DEFLATED)


def main(folder):
    for builder in BUILDERS:
        for fmt in (LAST, FIRST):
            for is_functional in (False, True)[: 1 + (builder in FUNCTIONAL and fmt == FIRST)]:
                made = case(builder, fmt, is_functional)
                if made:
                    name = f"{builder.__name__}_{fmt.split('_')[1]}{'_functional' if is_functional else ''}.npz"
                    store(pathlib.Path(folder) / name, *made)
                    print(name)


if __name__ == "__main__":
    main(sys.argv[1])
