"""The plane, where all that a model does can be seen: sets of points, a network, and pictures.

It is what the examples of diffusion and of flow matching in the plane have in common.

Reading order: the sets, `SETS`, and how one is chosen; `Network`; the pictures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinygen import commandline, image, models, points
from tinygen.arrange import concat
from tinygen.backend import to_numpy
from tinygen.layers import SinusoidalEmbedding
from tinygen.module import Module
from tinygen.ops import silu
from tinygen.style import BLUE, COLOURS, INK, bare, canvas, panels
from tinygen.tensor import reshape

__all__ = ["REACH", "SETS", "SHADE", "Network", "Set", "add_options", "density", "framed", "moment",
           "ways"]

HIDDEN, WAVES, FASTEST = 128, 8, 8.0
REACH = 2.8  # how far pictures go from the middle
SIDE = 80  # points along each side of the plane at which a density is computed
SHADE = "#c8c8c8"

Array = np.ndarray[Any, Any]


# --- what there is to learn -----------------------------------------------------------------------


class Set(NamedTuple):
    """`draw(n, rng=rng)`; `log_density(x)`, if it is known; means and deviation of a mixture."""

    draw: Callable[..., points.Points]
    log_density: Callable[[Any], Array] | None = None
    modes: dict[str, Any] | None = None


def mixture(means: Any, std: float) -> Set:
    modes: dict[str, Any] = {"means": np.asarray(means, np.float64), "std": std}
    return Set(partial(points.mixture, **modes), partial(points.log_density, **modes), modes)


SETS = {  # all about as large as the noise
    "ring": mixture(points.ring_means(8, 1.5), 0.1),
    "grid": mixture(points.grid_means(5, 0.75), 0.06),
    "mixture": mixture([[-1.2, -0.8], [0.2, 1.3], [0.5, -1.0], [1.4, 0.6]], 0.35),
    "moons": Set(points.moons),
    "swirl": Set(partial(points.swirl, noise=0.03)),
    "pinwheel": Set(points.pinwheel),
    "checkerboard": Set(points.checkerboard, points.checkerboard_log_density),
}


def add_options(
    parser: argparse.ArgumentParser, *, epochs: int, batch_size: int, train: int, test: int
) -> None:
    """Which set, how much of it, and how often; these are the defaults."""
    add, at_least = parser.add_argument, commandline.at_least
    add("--data", choices=SETS, default="checkerboard", help="(default: checkerboard)")
    add("--epochs", type=at_least(0), default=epochs,
        help=f"how often to see all points (default: {epochs})")  # fmt: skip
    add("--batch-size", type=at_least(1), default=batch_size,
        help=f"how many points make a step (default: {batch_size})")  # fmt: skip
    add("--train", type=at_least(1), default=train, metavar="N",
        help=f"learn from so many points (default: {train})")  # fmt: skip
    add("--test", type=at_least(100), default=test, metavar="N",
        help=f"judge by so many others (default: {test})")  # fmt: skip


# --- the network ----------------------------------------------------------------------------------


class Network(Module):
    """(N, 2) points and (N,) times from 0 to 1000 → (N, 2)

    A dense network. It is told the times, and the coordinates beside what they are, as waves: from
    numbers alone it learns edges slowly.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.time = SinusoidalEmbedding(32)
        self.place = SinusoidalEmbedding(WAVES, longest=FASTEST)
        inputs = 2 + 2 * WAVES + 32
        self.layers = models.mlp([inputs, HIDDEN, HIDDEN, HIDDEN, HIDDEN, 2], silu, rng=rng)

    def forward(self, x: Any, t: Any) -> Any:
        waves = reshape(self.place(FASTEST * x), (len(x), 2 * WAVES))
        return self.layers(concat([x, waves, self.time(t)], axis=1))


# --- pictures -------------------------------------------------------------------------------------


def density(
    where: Any, known: Set, log_p: Callable[[Array], Array], test: Array, extent: Any
) -> None:
    """The true density, or points of it where it is not known, and the model's in one scale."""
    middles = extent[0] + (extent[1] - extent[0]) * (np.arange(SIDE) + 0.5) / SIDE
    plane = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2).astype(np.float32)
    learnt = np.exp(log_p(plane)).reshape(SIDE, SIDE)
    with panels("density", where, (10, 5.4), 1, 2,
                sharey=True) as (left, right):  # fmt: skip
        if known.log_density is None:
            image.points(left, test, extent=extent, title="held-out points")
        else:
            image.density(left, lambda x: np.exp(known.log_density(x)), extent=extent,
                          title="the true density")  # fmt: skip
        image.density(right, learnt, extent=extent, title="the model's density")
        if left.images:
            true: Any = left.images[0].get_array()
            for drawn in (*left.images, *right.images):
                drawn.set_clim(0, 1.5 * true.max())


def ways(ax: Any, x: Array) -> None:
    """Lines through x (T, n, 2) from ○ to ●"""
    sector = np.floor(np.arctan2(x[0, :, 1], x[0, :, 0]) / math.pi * 4).astype(int) % 8
    for k, colour in enumerate(np.array(COLOURS)[sector]):
        ax.plot(*x[:, k].T, color=colour, linewidth=0.9, alpha=0.8)
        ax.plot(*x[0, k], "o", color=colour, markersize=4, markerfacecolor="white")
        ax.plot(*x[-1, k], "o", color=colour, markersize=4)


def moment(text: str, x: Any, guess: Any) -> Array:
    """One picture of the animation: the points, and where each is guessed to go."""
    figure = canvas(8, 4.3)
    parts = zip(figure.subplots(1, 2), (x, guess), (text, "the guess of the end"), strict=True)
    for ax, at, title in parts:
        ax.scatter(*to_numpy(at).T, s=3, color=BLUE, linewidths=0)
        framed(ax).set_title(title, fontsize=11, color=INK)
    drawing: Any = FigureCanvasAgg(figure)
    drawing.draw()
    return np.asarray(drawing.buffer_rgba())[..., :3] / 255


def framed(ax: Any) -> Any:
    """The axes without ticks, and as far as REACH on every side."""
    bare(ax).set(aspect="equal", xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    return ax
