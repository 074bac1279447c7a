"""Draws the figures of data_and_runs.md: what the built-in sets look like, and how to read curves.

Reading order: digits and shapes, sets of points, what `augment` does, a run that memorises.
"""

from __future__ import annotations

import numpy as np
from drawing import BLUE, GREY, RED, bare, canvas
from matplotlib.figure import Figure

import tinygen as tg
from tinygen import data, image, models, optim

SEED = 3


def drawn() -> Figure:
    """Digits and shapes, as they come."""
    digits = data.digits(80, rng=np.random.default_rng(SEED))
    shapes = data.shapes(25, rng=np.random.default_rng(SEED))
    figure = canvas(8, 2.9)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    image.grid(left, digits.images, columns=10)
    image.grid(right, shapes.images, columns=5)
    return figure


def planes() -> Figure:
    """The sets of points in the plane, coloured by their labels."""
    sets = {
        "ring": data.ring,
        "grid": data.grid,
        "moons": data.moons,
        "swirl": data.swirl,
        "checkerboard": data.checkerboard,
        "pinwheel": data.pinwheel,
    }
    figure = canvas(8, 1.75)
    for ax, (name, draw) in zip(figure.subplots(1, 6), sets.items(), strict=True):
        points, labels = draw(1500, rng=np.random.default_rng(SEED))
        bare(ax).scatter(*points.T, s=1.2, c=labels, cmap="turbo", linewidths=0)
        ax.set_title(name, size=9)
        ax.set_aspect("equal", "datalim")
    return figure


def augmented() -> Figure:
    """One digit through each of the functions, six times."""
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


def memorised() -> Figure:
    """The loss on 200 digits that a network overfits, and on held-out digits."""
    rng = np.random.default_rng(SEED)
    train, test = data.digits(200, rng=rng), data.digits(1000, rng=rng)
    net = models.mlp([784, 256, 10], rng=rng)
    optimizer = optim.Adam(net.parameters(), 3e-3)

    def loss(images: np.ndarray, labels: np.ndarray) -> tg.Tensor:
        scores = net(images.reshape(-1, 784))
        return -tg.sum(tg.log_softmax(scores) * np.eye(10, dtype="f4")[labels]) / len(labels)

    batches = data.Batches(train.images, 20, labels=train.labels, rng=rng, epochs=30)
    seen, held_out = [], []
    for x, labels in batches:
        value = loss(x.numpy(), labels.numpy())
        optimizer.step(tg.grad(value, optimizer.params))
        seen.append(float(value))
        if len(seen) % batches.per_epoch == 0:
            with tg.no_grad():
                held_out.append((len(seen), float(loss(*test))))

    figure = canvas(10, 3.4)
    both, rise = figure.subplots(1, 2)
    steps = np.arange(1, len(seen) + 1)
    both.plot(steps, seen, color=BLUE, lw=0.7, alpha=0.3)
    both.plot(steps, image.smoothed(seen, 15), color=BLUE)
    both.text(150, 0.009, "the 200 training digits", color=BLUE, size=9)
    both.text(150, 1.0, "held-out digits", color=RED, size=9)
    both.set(yscale="log", ylabel="cross-entropy, nats")
    both.set_title("Both, logarithmic axis")
    at, values = np.array(held_out).T
    best = int(values.argmin())
    rise.set_title("Held-out digits alone, linear axis")
    rise.set(ylim=(values.min() - 0.02, values[-1] + 0.06))
    rise.annotate(
        f"best: {values[best]:.2f}",
        (at[best], values[-1] + 0.03),
        xytext=(5, 0),
        color=GREY,
        size=9,
        textcoords="offset points",
    )
    for ax in (both, rise):
        ax.plot(at, values, ".-", color=RED)
        ax.axvline(at[best], color=GREY, lw=1, ls=":")
        ax.set(xlabel="step", xlim=(0, steps[-1]))
    return figure


FIGURES = (drawn, planes, augmented, memorised)
