"""Distributions in the plane: point sets, densities, a latent space, with equal axis scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from tinygen._batch import host
from tinygen._types import Array, ArrayLike
from tinygen.image.style import (
    BLUE,
    COLOURS,
    GREY,
    HALO,
    INK,
    ORANGE,
    Named,
    Place,
    note,
    panels,
    placed,
)

__all__ = ["density", "plane", "points"]

SIDE = 300  # points along each side at which a density is evaluated
MASSES = (0.5, 0.9, 0.99)  # fractions of the mass inside the contours
BLUES = LinearSegmentedColormap.from_list("blues", ["white", "#cfe3f1", "#5fa3cf", BLUE, "#00375a"])
SHADE = "#c8c8c8"
Extent = tuple[float, float, float, float]  # left, right, bottom, top


@placed
def points(
    where: Place,
    sets: ArrayLike | Named,
    *,
    truth: ArrayLike | None = None,
    extent: Extent | None = None,
    title: str = "",
) -> None:
    """Scatter plots of points (n, 2), or of a dict of point sets, in panels with shared axes

    `truth` (m, 2), points of the true distribution, is plotted in grey behind each.
    """
    named = sets if isinstance(sets, Mapping) else {"": sets}
    clouds = {str(name): _points("points", x, str(name) or "sets") for name, x in named.items()}
    true = None if truth is None else _points("points", truth, "truth")
    columns = min(len(clouds), 4)
    rows = -(-len(clouds) // columns)
    size = (5.2, 5.0) if len(clouds) == 1 else (2.5 * columns + 0.6, 2.7 * rows + 0.4)
    with panels("points", where, size, rows, columns, title, sharex=True, sharey=True) as axes:
        for ax in axes[len(clouds) :]:
            ax.set_axis_off()
        for ax, (name, x) in zip(axes, clouds.items(), strict=False):
            if true is not None:
                _dots(ax, true, 3, color=SHADE)
            _dots(ax, x, 3, color=BLUE)
            if extent:
                ax.axis(extent)
            if name:
                ax.set_title(name, fontsize=10)


@placed
def density(
    where: Place,
    f: ArrayLike | Callable[[Array], ArrayLike],
    samples: ArrayLike | None = None,
    *,
    extent: Extent | None = None,
    title: str = "",
) -> None:
    """A density, with contours around 50, 90 and 99 % of the mass, and samples (n, 2) on top

    `f` maps points (n, 2) to densities (n,), or is an array of densities (rows, columns) with row 0
    at the bottom. `extent` is (left, right, bottom, top), by default that of the samples.
    """
    cloud = None if samples is None else _points("density", samples, "samples")
    if extent is None:
        if cloud is None:
            raise ValueError("density: expected `extent`, (left, right, bottom, top), or samples")
        finite = cloud[np.isfinite(cloud).all(axis=1)]
        room = 0.05 * np.ptp(finite, axis=0)
        (left, bottom), (right, top) = finite.min(axis=0) - room, finite.max(axis=0) + room
        extent = left, right, bottom, top
    left, right, bottom, top = extent
    if callable(f):
        x, y = np.meshgrid(middles(left, right, SIDE), middles(bottom, top, SIDE))
        f = host(f(np.stack([x.ravel(), y.ravel()], axis=1))).reshape(x.shape)
    heights = host(f).astype(np.float64)
    if heights.ndim != 2 or not (np.isfinite(heights) & (heights >= 0)).all():
        got = f"{heights.shape} from {heights.min()} to {heights.max()}"
        raise ValueError(f"density: expected finite densities ≥ 0 (rows, columns), got {got}")
    with panels("density", where, (5.4, 5.0), title=title) as (ax,):
        area: Any = {"extent": extent, "origin": "lower"}
        ax.imshow(heights, BLUES, vmin=0, interpolation="bilinear", **area)
        levels = sorted({holding(heights, mass) for mass in MASSES})
        levels = [level for level in levels if heights.min() < level < heights.max()]
        if levels:
            ax.contour(heights, levels, colors=INK, linewidths=0.7, alpha=0.6, **area)
        if cloud is not None:
            _dots(ax, cloud, color=ORANGE, linewidths=0.3, edgecolors="white")
        ax.axis(extent)
        ax.grid(False)
        ax.set_xlabel("contours hold 50, 90 and 99 % of the mass", fontsize=8, color=GREY)


def holding(heights: Array, mass: float) -> float:
    """The height above which this fraction of the mass lies: that of its contour."""
    falling = np.sort(heights.ravel())[::-1]
    sums = np.cumsum(falling)
    return float(falling[min(np.searchsorted(sums, mass * sums[-1]), falling.size - 1)])


@placed
def plane(
    where: Place, z: ArrayLike, labels: ArrayLike, *, names: Sequence[Any] = (), title: str = ""
) -> None:
    """Encoded points z (n, 2), coloured by class, with each class's name at its median

    `labels` are ints from 0 to 9; `names` are the names of the classes, in order.
    """
    z, labels = _points("plane", z, "z"), host(labels)
    if labels.shape != (len(z),) or not np.isin(labels, range(len(COLOURS))).all():
        got = f"{labels.shape} from {labels.min()} to {labels.max()}"
        raise ValueError(f"plane: expected `labels` ({len(z)},), ints from 0 to 9, got {got}")
    names = names if len(names) else range(len(COLOURS))
    order = np.random.default_rng(0).permutation(len(z))  # so that no class covers the others
    with panels("plane", where, (6.4, 5.4), title=title) as (ax,):
        _dots(ax, z[order], color=np.array(COLOURS)[labels[order]], alpha=0.75)
        for k in np.unique(labels):
            ax.plot([], [], "o", color=COLOURS[k], label=str(names[k]), markersize=6)
            own = z[(labels == k) & np.isfinite(z).all(axis=1)]
            if len(own):
                middle: Any = {"ha": "center", "va": "center", "path_effects": HALO}
                ax.annotate(str(names[k]), np.median(own, axis=0), size=12, weight="bold", **middle)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.2)
        ax.set(xlabel="z₁", ylabel="z₂")


def _points(owner: str, x: ArrayLike, name: str) -> Array:
    x = host(x).astype(np.float64)
    if x.ndim != 2 or x.shape[1] != 2 or not np.isfinite(x).all(axis=1).any():
        raise ValueError(f"{owner}: expected `{name}` (n, 2), some finite, got {x.shape}")
    return x


def middles(low: float, high: float, count: int) -> Array:
    """The centres of `count` equal cells."""
    return low + (high - low) * (np.arange(count) + 0.5) / count


def _dots(ax: Axes, x: Array, finer: float = 1, **look: Any) -> None:
    """A scatter plot, with smaller dots for more points, and the number of those not finite."""
    area = np.clip(10_000 / len(x), 3, 24) / finer  # square points
    ax.set_aspect("equal")
    ax.scatter(x[:, 0], x[:, 1], area, **{"linewidths": 0, **look})
    if lost := int((~np.isfinite(x).all(axis=1)).sum()):
        note(ax, f"{lost:,} not finite")
