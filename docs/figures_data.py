"""Draws the figures of data_and_runs.md.

Reading order: digits and shapes, point sets, augmentation, overfitting.
"""

from __future__ import annotations

import numpy as np
from drawing import BLUE, GREY, RED, bare, canvas
from matplotlib.figure import Figure

import tinygen as tg
from tinygen import data, image, models, optim

SEED = 3


def image_sets() -> Figure:
    """The built-in sets `digits` and `shapes`."""
    digits = data.digits(80, rng=np.random.default_rng(SEED))
    shapes = data.shapes(25, rng=np.random.default_rng(SEED))
    figure = canvas(8, 2.9)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    image.grid(left, digits.images, columns=10)
    image.grid(right, shapes.images, columns=5)
    return figure


def point_sets() -> Figure:
    """The sets of points in the plane, coloured by label."""
    sets = {
        "ring": data.ring,
        "grid": data.grid,
        "moons": data.moons,
        "swirl": data.swirl,
        "checkerboard": data.checkerboard,
        "pinwheel": data.pinwheel,
    }
    figure = canvas(8, 1.75)
    for ax, (name, sample) in zip(figure.subplots(1, 6), sets.items(), strict=True):
        points, labels = sample(1500, rng=np.random.default_rng(SEED))
        bare(ax).scatter(*points.T, s=1.2, c=labels, cmap="turbo", linewidths=0)
        ax.set_title(name, size=9)
        ax.set_aspect("equal", "datalim")
    return figure


def augmented() -> Figure:
    """One digit, six times through each augmentation."""
    rng = np.random.default_rng(SEED)
    six = np.repeat(data.digits(1, labels=5, rng=rng).images, 6, axis=0)
    grey = six * 0.7
    rows = {
        "shift": data.shift(six, 4, rng=rng),
        "rotate": data.rotate(six, 25, rng=rng),
        "crop": data.crop(six, 28, padding=5, rng=rng),
        "noise": data.noise(six, 0.25, rng=rng).clip(0, 1),
        "binarize": data.binarize(grey, rng=rng),
    }
    figure = canvas(5, 3.4)
    image.compare(figure.subplots(), rows, columns=6)
    return figure


def overfitting() -> Figure:
    """The loss on 200 training digits, which the network overfits, and on held-out digits."""
    rng = np.random.default_rng(SEED)
    train, test = data.digits(200, rng=rng), data.digits(1000, rng=rng)
    net = models.mlp([784, 256, 10], rng=rng)
    optimizer = optim.Adam(net.parameters(), 3e-3)

    def loss(images: np.ndarray, labels: np.ndarray) -> tg.Tensor:
        logits = net(images.reshape(-1, 784))
        return -tg.sum(tg.log_softmax(logits) * np.eye(10, dtype="f4")[labels]) / len(labels)

    batches = data.Batches(train.images, 20, labels=train.labels, rng=rng, epochs=30)
    training, held_out = [], []
    for x, labels in batches:
        value = loss(x.numpy(), labels.numpy())
        optimizer.step(tg.grad(value, optimizer.params))
        training.append(float(value))
        if len(training) % batches.per_epoch == 0:
            with tg.no_grad():
                held_out.append((len(training), float(loss(*test))))

    figure = canvas(10, 3.4)
    left, right = figure.subplots(1, 2)
    steps = np.arange(1, len(training) + 1)
    left.plot(steps, training, color=BLUE, lw=0.7, alpha=0.3)
    left.plot(steps, image.smoothed(training, 15), color=BLUE)
    left.text(150, 0.009, "training loss", color=BLUE, size=9)
    left.text(150, 1.0, "held-out loss", color=RED, size=9)
    left.set(yscale="log", ylabel="cross-entropy, nats")
    left.set_title("Both losses, logarithmic axis")
    epoch_ends, values = np.array(held_out).T
    best = int(values.argmin())
    right.set_title("Held-out loss, linear axis")
    right.set(ylim=(values.min() - 0.02, values[-1] + 0.06))
    right.annotate(
        f"best: {values[best]:.2f}",
        (epoch_ends[best], values[-1] + 0.03),
        xytext=(5, 0),
        color=GREY,
        size=9,
        textcoords="offset points",
    )
    for ax in (left, right):
        ax.plot(epoch_ends, values, ".-", color=RED)
        ax.axvline(epoch_ends[best], color=GREY, lw=1, ls=":")
        ax.set(xlabel="step", xlim=(0, steps[-1]))
    return figure


FIGURES = (image_sets, point_sets, augmented, overfitting)
