"""Whole fits: Keras' model.fit and `convt train` from the same weights, on the same batches.

    fits.py COMMAND [--count N] [--seed S]      COMMAND: the built `convt`

Two layers, 3 epochs, a last batch that is smaller, a loss by turns, an optimizer with random arguments; what must agree
is the loss of every epoch and every parameter at the end (averages included, where use_ema is on).
"""

import argparse
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

from kerasenv import jnp, keras
from draw import chance, choice, generator, integer
from optimizers import as_json, random_sgd

import numpy as np

TOLERANCE = 1e-9  # of the largest value
BATCH, EPOCHS = 4, 3

# A loss and the last activation that gives it what it wants.
LOSSES = [("mse", "linear"), ("mae", "linear"), ("huber", "linear"), ("log_cosh", "tanh"), ("mape", "linear"),
          ("msle", "softplus"), ("poisson", "softplus"), ("cosine_similarity", "linear"),
          ("binary_crossentropy", "sigmoid"), ("binary_focal_crossentropy", "sigmoid"),
          ("categorical_crossentropy", "softmax"), ("kl_divergence", "softmax"), ("dice", "sigmoid"),
          ("tversky", "sigmoid")]  # fmt: skip
# glu is not among them: Keras builds the next layer for the channels before they are halved.
INNER = ["relu", "silu", "gelu", "mish", "tanh", "softmax", "hard_silu"]


def random_model(rng, last):
    layers = keras.layers
    return keras.Sequential([
        keras.Input((3, 4, 5)),
        layers.Conv2DTranspose(
            6, 3, strides=2, padding="same", activation=choice(rng, INNER),
            kernel_regularizer=keras.regularizers.L2(0.01) if chance(rng, 0.5) else None,
            activity_regularizer=keras.regularizers.L1L2(0, 0.01) if chance(rng, 0.3) else None,
            kernel_constraint=keras.constraints.MaxNorm(1.5, axis=[0, 1, 3]) if chance(rng, 0.4) else None),
        layers.Conv2DTranspose(4, 2, activation=last),
    ])  # fmt: skip


def write_model(path, model):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(keras.saving.serialize_keras_object(model)))
        for layer in model.layers:
            for variable in layer.weights:
                with archive.open(f"{layer.name}/{variable.name}.npy", "w") as member:
                    np.save(member, np.asarray(variable))


def train(command, folder, loss):
    run = subprocess.run(
        [command, "train", "--x", folder / "x.npy", "--y", folder / "y.npy", "--model", folder / "model.npz",
         "--out", folder / "run", "--epochs", str(EPOCHS), "--batch-size", str(BATCH), "--loss", loss,
         "--optimizer", folder / "sgd.json", "--no-shuffle", "--quiet"], capture_output=True, text=True)  # fmt: skip
    if run.returncode:
        raise SystemExit(f"convt train: exit {run.returncode}: {run.stderr}")
    history = np.genfromtxt(folder / "run/history.csv", delimiter=",", names=True)
    return history["loss"], np.load(folder / "run/model.npz")


def difference(actual, expected):
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-300))


def fit(command, seed, index):
    rng = generator(seed, "fit", index)
    keras.utils.set_random_seed(index)
    loss, last = LOSSES[index % len(LOSSES)]
    model = random_model(rng, last)
    count = integer(rng, 2 * BATCH - 1, 3 * BATCH + 2)
    x, y = rng.normal(size=(count, 3, 4, 5)), rng.uniform(0.05, 0.95, (count, *model.output_shape[1:]))
    if last == "softmax":
        y /= y.sum(-1, keepdims=True)
    optimizer = keras.optimizers.SGD.from_config(random_sgd(rng))
    model.compile(optimizer=optimizer, loss=loss)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "x.npy", x), np.save(folder / "y.npy", y)
        write_model(folder / "model.npz", model)
        (folder / "sgd.json").write_text(json.dumps(as_json(optimizer.get_config())))
        losses, weights = train(command, folder, loss)
        expected = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0).history["loss"]
        worst = difference(losses, np.asarray(expected))
        for layer in model.layers:
            for variable in layer.weights:
                actual = weights[f"{layer.name}/{variable.name}"]
                worst = max(worst, difference(actual, np.asarray(jnp.asarray(variable))))
    return loss, worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--count", type=int, default=len(LOSSES))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    worst, wrong = 0.0, 0
    for index in range(arguments.count):
        loss, error = fit(arguments.command, arguments.seed, index)
        if not error <= TOLERANCE:
            print(f"DIFFERS fit {index} ({loss}): off by {error:.2e} of the largest value, allowed are {TOLERANCE:.0e}")
            wrong += 1
        worst = max(worst, error)
        keras.backend.clear_session()
    print(f"fit: {arguments.count} runs, {wrong} differ, the worst is off by {worst:.2e} of the largest value")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
