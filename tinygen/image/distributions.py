"""Distributions: histograms of numbers; in the plane point sets, densities and a latent space.

In the plane both axes have one scale, so that a circle is round.

Reading order: `histogram` and its `bins`; `points`; `density`, with the contours of `holding`;
`plane`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke
from matplotlib.ticker import StrMethodFormatter

from tinygen._types import Array
from tinygen.image.style import BLUE, COLOURS, GREY, INK, ORANGE, Place, deep, note, on_host, panels

__all__ = ["density", "histogram", "plane", "points"]

SIDE = 300  # points along each side at which a density is computed
MASSES = (0.5, 0.9, 0.99)  # what the contours of a density hold
BLUES = LinearSegmentedColormap.from_list("blues", ["white", "#cfe3f1", "#5fa3cf", BLUE, "#00375a"])
SHADOW = "#c8c8c8"
Extent = tuple[float, float, float, float]  # left, right, bottom, top


# --- numbers --------------------------------------------------------------------------------------


def histogram(
    where: Place,
    values: Any,
    *,
    xlabel: str = "value",
    expected: Callable[[Array], Any] | None = None,
    title: str | None = None,
) -> None:
    """How often which values come: of an array of any shape, or of a dict of them by name

    Bins are 2 IQR n^(−⅓) wide (Freedman & Diaconis 1981), for several sets the narrowest's, and
    from 10 to 200 in number. `expected` is a density that is drawn over them as a dashed line. With
    it, or for several sets, the y axis is a density too, else a count.
    """
    sets = values if isinstance(values, Mapping) else {"": values}
    if not sets:
        raise ValueError("histogram: expected `values`, got none")
    flat = {str(name): np.asarray(on_host(x), np.float64).ravel() for name, x in sets.items()}
    finite = {name: x[np.isfinite(x)] for name, x in flat.items()}
    for name, x in finite.items():
        if not x.size:
            raise ValueError(f"histogram: `{name or 'values'}` has no finite value")
    edges = bins(list(finite.values()))
    density = expected is not None or len(finite) > 1
    lost = sum(flat[name].size - x.size for name, x in finite.items())
    with panels("histogram", where, (8, 3.8), title=title) as (ax,):
        for (name, x), colour in zip(finite.items(), itertools.cycle(COLOURS), strict=False):
            counts, _ = np.histogram(x, edges)
            heights = counts / (x.size * np.diff(edges)) if density else counts
            ax.stairs(
                heights,
                edges,
                fill=True,
                color=colour,
                alpha=0.3 if len(finite) > 1 else 1,
                linewidth=0,
            )
            if len(finite) > 1:
                ax.stairs(heights, edges, color=colour, linewidth=1.5, label=name)
        if expected is not None:
            at = np.linspace(edges[0], edges[-1], 500)
            ax.plot(
                at,
                on_host(expected(at)),
                color=INK,
                linewidth=1.4,
                linestyle=(0, (4, 3)),
                label="expected",
            )
        if len(finite) > 1 or expected is not None:
            ax.legend(loc="upper right")
        if lost:
            note(ax, (0, 1), f"{lost:,} not finite")
        ax.set(xlabel=xlabel, ylabel="density" if density else "count", xlim=edges[[0, -1]])
        ax.set_ylim(bottom=0)
        if ax.get_ylim()[1] > 10_000:
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.grid(False, axis="x")


def bins(sets: Sequence[Array]) -> Array:
    """The edges of bins for all sets: the narrowest of their Freedman–Diaconis widths."""
    low, high = min(x.min() for x in sets), max(x.max() for x in sets)
    if low == high:
        low, high = low - 0.5, high + 0.5
    quartiles = [np.percentile(x, [25, 75]) for x in sets]
    widths = [2 * (q[1] - q[0]) / x.size ** (1 / 3) for q, x in zip(quartiles, sets, strict=True)]
    width = min((w for w in widths if w > 0), default=(high - low) / 10)
    count = int(np.clip(math.ceil((high - low) / width), 10, 200))
    return np.linspace(low, high, count + 1)


# --- the plane ------------------------------------------------------------------------------------


def points(
    where: Place,
    sets: Any,
    *,
    truth: Any = None,
    extent: Extent | None = None,
    title: str | None = None,
) -> None:
    """Sets of points (n, 2) in panels side by side with the same axes, a dict of them by name

    `truth` (m, 2) is what they should look like: drawn in grey behind each.
    """
    named = sets if isinstance(sets, Mapping) else {"": sets}
    if not named:
        raise ValueError("points: expected sets of points, got none")
    clouds = {str(name): _points("points", x, str(name) or "sets") for name, x in named.items()}
    behind = None if truth is None else _points("points", truth, "truth")
    extent = _extent("points", extent, [*clouds.values(), *([] if behind is None else [behind])])
    columns = min(len(clouds), 4)
    rows = -(-len(clouds) // columns)
    size = (5.2, 5.0) if len(clouds) == 1 else (2.5 * columns + 0.6, 2.7 * rows + 0.4)
    with panels("points", where, size, rows, columns, title, sharex=True, sharey=True) as axes:
        for ax in axes[len(clouds) :]:
            ax.set_axis_off()
        most = max(len(x) for x in clouds.values())
        for ax, (name, x) in zip(axes, clouds.items(), strict=False):
            if behind is not None:
                ax.scatter(
                    behind[:, 0], behind[:, 1], s=_size(len(behind)) / 3, color=SHADOW, linewidths=0
                )
            ax.scatter(x[:, 0], x[:, 1], s=_size(most) / 3, color=BLUE, linewidths=0)
            _say_lost(ax, x)
            _square(ax, extent)
            if name:
                ax.set_title(name, fontsize=10)


def density(
    where: Place,
    f: Any,
    samples: Any = None,
    *,
    extent: Extent | None = None,
    title: str | None = None,
) -> None:
    """A density over the plane, and samples (n, 2) over it

    `f` is a function from points (n, 2) to their densities (n,), or an array (rows, columns) of
    them with row 0 at the bottom. Contours are drawn about where half, 90 % and 99 % of the mass
    are. `extent` is (left, right, bottom, top); by default it is the samples' own.
    """
    cloud = None if samples is None else _points("density", samples, "samples")
    if extent is None and cloud is None:
        raise ValueError("density: expected `extent`, (left, right, bottom, top), or samples")
    extent = _extent("density", extent, [] if cloud is None else [cloud])
    left, right, bottom, top = extent
    if callable(f):
        x, y = np.meshgrid(middles(left, right, SIDE), middles(bottom, top, SIDE))
        heights = on_host(f(np.stack([x.ravel(), y.ravel()], axis=1)))
        if heights.size != x.size:
            raise ValueError(
                f"density: expected `f` to give {x.size} densities for as many "
                f"points, got {heights.shape}"
            )
        heights = heights.reshape(x.shape)
    else:
        heights = on_host(f)
        if heights.ndim != 2 or min(heights.shape) < 2:
            raise ValueError(
                f"density: expected `f` (rows, columns), or a function, got {heights.shape}"
            )
    heights = np.asarray(heights, np.float64)
    if not np.isfinite(heights).all() or heights.min() < 0 or heights.max() == 0:
        raise ValueError(
            "density: expected finite densities ≥ 0, not all 0; for a log-density, give its exp"
        )
    rows, columns = heights.shape
    with panels("density", where, (5.4, 5.0), title=title) as (ax,):
        ax.imshow(
            heights,
            BLUES,
            aspect="equal",
            origin="lower",
            extent=extent,
            vmin=0,
            interpolation="bilinear",
        )
        levels = sorted({holding(heights, mass) for mass in MASSES})
        levels = [level for level in levels if heights.min() < level < heights.max()]
        if levels:
            ax.contour(
                middles(left, right, columns),
                middles(bottom, top, rows),
                heights,
                levels,
                colors=INK,
                linewidths=0.7,
                alpha=0.6,
            )
        if cloud is not None:
            ax.scatter(
                cloud[:, 0],
                cloud[:, 1],
                s=_size(len(cloud)),
                color=ORANGE,
                linewidths=0.3,
                edgecolors="white",
            )
            _say_lost(ax, cloud)
        _square(ax, extent)
        ax.grid(False)
        ax.set_xlabel("contours hold 50, 90 and 99 % of the mass", fontsize=8, color=GREY)


def holding(heights: Array, mass: float) -> float:
    """The height above which this share of all mass lies: the contour that holds it."""
    falling = np.sort(heights.ravel())[::-1]
    sums = np.cumsum(falling)
    return float(falling[min(np.searchsorted(sums, mass * sums[-1]), falling.size - 1)])


def plane(
    where: Place,
    z: Any,
    labels: Any,
    *,
    names: Sequence[Any] | None = None,
    title: str | None = None,
) -> None:
    """Encoded points z (n, 2), coloured by class, with each class's name at its median

    `labels` are ints from 0 up, at most ten different ones; `names` are the classes', in order.
    """
    z, labels = _points("plane", z, "z"), on_host(labels)
    if labels.shape != z.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"plane: expected `labels` to be {len(z)} ints, one for each row of `z`, "
            f"got {labels.dtype} {labels.shape}"
        )
    classes = [int(k) for k in np.unique(labels)]
    if classes and not 0 <= classes[0] <= classes[-1] < len(COLOURS):
        raise ValueError(
            f"plane: expected `labels` from 0 to {len(COLOURS) - 1}, got "
            f"{classes[0]} to {classes[-1]}"
        )
    if names is not None and len(names) <= classes[-1]:
        raise ValueError(f"plane: expected `names` for {classes[-1] + 1} classes, got {len(names)}")
    called = {k: str(k if names is None else names[k]) for k in classes}
    order = np.random.default_rng(0).permutation(len(z))  # so that no class hides the others
    x, y = z[order].T
    colours = np.array(COLOURS)[labels[order]]
    with panels("plane", where, (6.4, 5.4), title=title) as (ax,):
        ax.scatter(x, y, s=_size(len(z)), c=colours, linewidths=0, alpha=0.75)
        for k in classes:
            ax.plot([], [], "o", color=COLOURS[k], label=called[k], markersize=6)
            own = z[labels == k]
            own = own[np.isfinite(own).all(axis=1)]
            if len(own):
                ax.annotate(
                    called[k],
                    np.median(own, axis=0),
                    ha="center",
                    va="center",
                    fontsize=12,
                    fontweight="bold",
                    color=deep(COLOURS[k]),
                    path_effects=[withStroke(linewidth=3, foreground="white")],
                )
        _say_lost(ax, z)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.2)
        _square(ax, _extent("plane", None, [z]))
        ax.set(xlabel="z₁", ylabel="z₂")


# --- what they share ------------------------------------------------------------------------------


def _points(owner: str, x: Any, called: str) -> Array:
    x = on_host(x)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"{owner}: expected `{called}` (n, 2) with n ≥ 1, got {x.shape}")
    return np.asarray(x, np.float64)


def _extent(owner: str, extent: Extent | None, clouds: list[Array]) -> Extent:
    """As given; or what holds all points, with a little room."""
    if extent is not None:
        left, right, bottom, top = extent
        if not (left < right and bottom < top):
            raise ValueError(f"{owner}: expected `extent` (left, right, bottom, top), got {extent}")
        return left, right, bottom, top
    every = np.concatenate(clouds)
    every = every[np.isfinite(every).all(axis=1)]
    if not len(every):
        raise ValueError(f"{owner}: no point is finite")
    (left, bottom), (right, top) = every.min(axis=0), every.max(axis=0)
    room = 0.05 * max(right - left, top - bottom) or 0.5
    return float(left - room), float(right + room), float(bottom - room), float(top + room)


def middles(low: float, high: float, count: int) -> Array:
    """The middles of so many equal cells."""
    return low + (high - low) * (np.arange(count) + 0.5) / count


def _size(count: int) -> float:
    """The area of a dot, in square points: the more there are, the smaller."""
    return float(np.clip(10_000 / count, 3, 24))


def _say_lost(ax: Axes, x: Array) -> None:
    lost = int((~np.isfinite(x).all(axis=1)).sum())
    if lost:
        note(ax, (0, 1), f"{lost:,} not finite")


def _square(ax: Axes, extent: Extent) -> None:
    left, right, bottom, top = extent
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
