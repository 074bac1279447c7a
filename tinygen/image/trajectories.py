"""Pictures of models of the plane: two densities side by side, paths, frames of an animation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinygen._batch import host
from tinygen._types import Array, ArrayLike
from tinygen.image import distributions
from tinygen.image.distributions import SHADE, Extent, middles
from tinygen.image.style import BLUE, COLOURS, INK, Place, bare, canvas, panels

__all__ = ["REACH", "SHADE", "density", "framed", "moment", "ways"]

LogDensity: TypeAlias = Callable[[Array], Array]
REACH = 2.8  # how far pictures go from the middle
SIDE = 80  # points along each side of the plane at which a density is computed


def density(
    where: Place, true_log_p: LogDensity | None, log_p: LogDensity, test: Array, extent: Extent
) -> None:
    """The true density, or points of it where it is not known, and the model's in one scale."""
    axis = middles(*extent[:2], SIDE)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)
    learnt = np.exp(log_p(plane)).reshape(SIDE, SIDE)
    with panels("density", where, (10, 5.4), 1, 2, sharey=True) as (left, right):
        distributions.density(right, learnt, extent=extent, title="the model's density")
        if true_log_p is None:
            distributions.points(left, test, extent=extent, title="held-out points")
            return
        true = lambda x: np.exp(true_log_p(x))  # noqa: E731
        distributions.density(left, true, extent=extent, title="the true density")
        most: Any = left.images[0].get_array()
        for ax in (left, right):
            ax.images[0].set_clim(0, 1.5 * most.max())


def ways(ax: Axes, x: Array) -> None:
    """Lines through x (T, n, 2) from ○ to ●"""
    sector = np.floor(np.arctan2(x[0, :, 1], x[0, :, 0]) / math.pi * 4).astype(int) % 8
    for k, colour in enumerate(np.array(COLOURS)[sector]):
        ax.plot(*x[:, k].T, color=colour, linewidth=0.9, alpha=0.8)
        ax.plot(*x[0, k], "o", color=colour, markersize=4, markerfacecolor="white")
        ax.plot(*x[-1, k], "o", color=colour, markersize=4)


def moment(text: str, x: ArrayLike, guess: ArrayLike) -> Array:
    """One picture of the animation: the points, and where each is guessed to go."""
    figure = canvas(8, 4.3)
    parts = zip(figure.subplots(1, 2), (x, guess), (text, "the guess of the end"), strict=True)
    for ax, at, title in parts:
        ax.scatter(*host(at).T, s=3, color=BLUE, linewidths=0)
        framed(ax).set_title(title, fontsize=11, color=INK)
    agg: Any = FigureCanvasAgg(figure)
    agg.draw()
    return np.asarray(agg.buffer_rgba())[..., :3] / 255


def framed(ax: Axes) -> Axes:
    """The axes without ticks, and as far as REACH on every side."""
    bare(ax).set(aspect="equal", xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    return ax
