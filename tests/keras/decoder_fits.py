"""Fits of whole decoders: what Keras' model.fit makes of a .keras file, for `convt train --model` to repeat.

    decoder_fits.py FOLDER      writes FOLDER/<name>/: model.keras, x.npy, y.npy, fit.json, after.npz

Straight lines of Dense, Reshape, Conv2DTranspose, Conv2D, UpSampling2D and activation layers in float32, 4 epochs in file
order, a last batch that is smaller, regularizers, constraints and clipping. fit.json has the options of the run, the
optimizer and Keras' loss of every epoch; after.npz the parameters at the end, "<layer>/<variable>".
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # its |x|' is 0 at 0, as here; JAX has 1

import keras
import numpy as np

BATCH, EPOCHS, COUNT = 4, 4, 11
layers, regularizers, constraints = keras.layers, keras.regularizers, keras.constraints


def vae():
    """The decoder of Keras' variational autoencoder, smaller."""
    return keras.Sequential([
        keras.Input((5,)),
        layers.Dense(3 * 4 * 6, activation="relu", kernel_regularizer=regularizers.L2(0.01),
                     bias_regularizer=regularizers.L1(0.02), kernel_constraint=constraints.MaxNorm(0.8, axis=0)),
        layers.Reshape((3, 4, 6)),
        layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
    ], name="vae")  # fmt: skip


def dcgan():
    """The generator of Keras' DCGAN, smaller: activations are layers, a Conv2D comes last."""
    return keras.Sequential([
        keras.Input((4,)),
        layers.Dense(2 * 2 * 6),
        layers.Reshape((2, 2, 6)),
        layers.Conv2DTranspose(6, 4, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2DTranspose(5, 4, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2D(2, 5, padding="same", activation="sigmoid", kernel_regularizer=regularizers.L1L2(0.001, 0.01),
                      kernel_constraint=constraints.UnitNorm(axis=[0, 1, 2])),
    ], name="dcgan")  # fmt: skip


def functional():
    """A Functional model that resizes and convolves; the bias of the Dense is constrained, and a layer is frozen."""
    x = keras.Input((6,), name="code")
    h = layers.Dense(12, activation="tanh", name="mix")(x)
    h = layers.Dense(2 * 3 * 4, bias_constraint=constraints.NonNeg(), bias_initializer="ones", name="spread")(h)
    h = layers.Activation("relu", name="bend")(h)
    h = layers.Reshape((2, 3, 4), name="map")(h)
    h = layers.UpSampling2D(2, name="enlarge")(h)
    h = layers.Conv2D(5, 3, padding="same", activation="elu", trainable=False, name="smooth")(h)
    h = layers.ZeroPadding2D(((1, 0), (0, 2)), name="pad")(h)
    h = layers.Conv2D(3, 2, activity_regularizer=regularizers.L2(0.01), name="last")(h)
    return keras.Model(x, h, name="resize")


FITS = {
    "vae": (vae, "binary_crossentropy", {"learning_rate": 0.1, "momentum": 0.9}),
    "dcgan": (dcgan, "mse", {"learning_rate": 0.2, "momentum": 0.8, "nesterov": True, "global_clipnorm": 0.5}),
    "functional": (functional, "mse", {"learning_rate": 0.05, "weight_decay": 0.01, "clipnorm": 0.3}),
}


def write(folder, name):
    build, loss, arguments = FITS[name]
    keras.utils.set_random_seed(7)
    keras.backend.clear_session()
    model = build()
    rng = np.random.default_rng(3)
    x = rng.integers(-64, 65, (COUNT, *model.input_shape[1:])).astype("float32") / 32
    y = rng.integers(0, 65, (COUNT, *model.output_shape[1:])).astype("float32") / 64
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    np.save(folder / "x.npy", x), np.save(folder / "y.npy", y)
    optimizer = keras.optimizers.SGD(**arguments)
    model.compile(optimizer=optimizer, loss=loss)
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0).history["loss"]
    after = {f"{layer.name}/{variable.name}": keras.ops.convert_to_numpy(variable) for layer in model.layers for variable in layer.weights}
    np.savez(folder / "after.npz", **after)
    fit = {"epochs": EPOCHS, "batch_size": BATCH, "loss": loss, "history": history, "optimizer": arguments}
    (folder / "fit.json").write_text(json.dumps(fit, indent=1) + "\n")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__.split("\n\n")[1].strip())
    for name in FITS:
        write(Path(sys.argv[1]) / name, name)


if __name__ == "__main__":
    main()
