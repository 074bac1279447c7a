"""Plots of models in the plane: densities side by side, trajectories, animation frames."""

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
REACH = 2.8  # the axis limits are ±REACH
SIDE = 80  # points along each side at which a density is evaluated


def density(
    where: Place, true_log_p: LogDensity | None, log_p: LogDensity, test: Array, extent: Extent
) -> None:
    """The true density, or points if it is unknown, beside the model's in the same scale."""
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
    """Trajectories x (T, n, 2), from ○ to ●"""
    sector = np.floor(np.arctan2(x[0, :, 1], x[0, :, 0]) / math.pi * 4).astype(int) % 8
    for k, colour in enumerate(np.array(COLOURS)[sector]):
        ax.plot(*x[:, k].T, color=colour, linewidth=0.9, alpha=0.8)
        ax.plot(*x[0, k], "o", color=colour, markersize=4, markerfacecolor="white")
        ax.plot(*x[-1, k], "o", color=colour, markersize=4)


def moment(text: str, x: ArrayLike, end: ArrayLike) -> Array:
    """A frame of an animation: the points x, and the predicted end of each."""
    figure = canvas(8, 4.3)
    parts = zip(figure.subplots(1, 2), (x, end), (text, "predicted end"), strict=True)
    for ax, at, title in parts:
        ax.scatter(*host(at).T, s=3, color=BLUE, linewidths=0)
        framed(ax).set_title(title, fontsize=11, color=INK)
    agg: Any = FigureCanvasAgg(figure)
    agg.draw()
    return np.asarray(agg.buffer_rgba())[..., :3] / 255


def framed(ax: Axes) -> Axes:
    """The Axes without ticks, with limits ±REACH."""
    bare(ax).set(aspect="equal", xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    return ax
