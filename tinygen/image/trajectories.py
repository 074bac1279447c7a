"""Pictures of models of the plane: two densities side by side, paths, frames of an animation.

Reading order: `density`, `ways`, `moment`, `framed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinygen._types import Array
from tinygen.autograd import to_numpy
from tinygen.image.distributions import density as draw_density
from tinygen.image.distributions import points as draw_points
from tinygen.image.style import BLUE, COLOURS, INK, bare, canvas, panels

__all__ = ["REACH", "SHADE", "density", "framed", "moment", "ways"]

REACH = 2.8  # how far pictures go from the middle
SIDE = 80  # points along each side of the plane at which a density is computed
SHADE = "#c8c8c8"


def density(
    where: Any, known: Any, log_p: Callable[[Array], Array], test: Array, extent: Any
) -> None:
    """The true density, or points of it where it is not known, and the model's in one scale."""
    middles = extent[0] + (extent[1] - extent[0]) * (np.arange(SIDE) + 0.5) / SIDE
    plane = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2).astype(np.float32)
    learnt = np.exp(log_p(plane)).reshape(SIDE, SIDE)
    with panels("density", where, (10, 5.4), 1, 2, sharey=True) as (left, right):
        if known.log_density is None:
            draw_points(left, test, extent=extent, title="held-out points")
        else:
            draw_density(
                left,
                lambda x: np.exp(known.log_density(x)),
                extent=extent,
                title="the true density",
            )
        draw_density(right, learnt, extent=extent, title="the model's density")
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
