"""Training curves: losses and other values by step.

`curves` plots noisy values in a pale colour, and their weighted mean, `smoothed`, on top. Values
that are not finite leave a gap and a cross.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.lines import Line2D

from tinygen._batch import host
from tinygen._types import Array, ArrayLike
from tinygen.image.style import COLOURS, GREY, HALO, PathLike, Place, note, panels, placed

__all__ = ["curves", "curves_of", "smoothed"]

Series: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]  # values, or steps and values
FEW = 40  # up to this many values are marked by dots
BEYOND = 0.5  # per cent of the raw values cut off at the top, and at the bottom


@placed
def curves(
    where: Place,
    series: Mapping[str, Series],
    *,
    ylabel: str = "loss",
    xlabel: str = "step",
    log: bool | None = None,
    smooth: float | None = None,
    reference: Mapping[str, float] | None = None,
    title: str = "",
) -> None:
    """Plot named series by step, each an array of values or a tuple (steps, values)

    `smooth` is the span of `smoothed`: by default n / 50, at least 10, or 1 below 100 values. The y
    axis is logarithmic if `log`, by default if values are positive and span a factor of 100.
    `reference`, such as {"2 log 2": 1.386}, names dashed lines.
    """
    if not isinstance(series, Mapping) or not series:
        raise TypeError(f"curves: expected a dict from names to values, got {series!r:.50}")
    lines, levels = {str(n): _series(n, line) for n, line in series.items()}, reference or {}
    numbers = np.concatenate([*(values for _, values in lines.values()), list(levels.values())])
    numbers = numbers[np.isfinite(numbers)]
    if log is None and numbers.size:
        log = numbers.min() > 0 and numbers.max() >= 100 * numbers.min()
    with panels("curves", where, (8, 4.2), title=title) as (ax,):
        ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        for (name, (steps, values)), colour in zip(lines.items(), itertools.cycle(COLOURS)):
            shown = np.isfinite(values) & ((values > 0) | (not log))
            values = np.where(shown, values, np.nan)
            span = smooth or (max(10, values.size / 50) if values.size >= 100 else 1)
            noisy = span > 1 and shown.any()
            if noisy:  # an artist leaves the axis limits alone; include most of its values
                pale = {"color": colour, "linewidth": 0.8, "alpha": 0.3 / np.sqrt(len(lines))}
                ax.add_artist(Line2D(steps, values, **pale))
                reach = np.nanpercentile(values, [BEYOND, 100 - BEYOND])
                ax.update_datalim(np.stack([steps[[0, -1]], reach], axis=1))
            look: Any = {"color": colour, "markersize": 4, "path_effects": HALO if noisy else None}
            dots = "o-" if len(steps) <= FEW else "-"
            ax.plot(steps, smoothed(values, span), dots, label=name, zorder=3, **look)
            if not shown.all():
                foot = np.full((~shown).sum(), 0.025)
                ax.plot(steps[~shown], foot, "x", transform=ax.get_xaxis_transform(), **look)
                note(ax, "× not finite" + " or not above 0" * bool(log))
        for name, level in levels.items():
            ax.axhline(level, color=GREY, linewidth=1.1, linestyle="--", zorder=1, label=name)
        ax.margins(x=0.01)
        ax.locator_params("x", integer=True)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _series(name: str, line: Series) -> tuple[Array, Array]:
    """Steps (n,) and values (n,)"""
    values = host(line[1] if isinstance(line, tuple) else line).astype(float)
    steps = host(line[0] if isinstance(line, tuple) else range(len(values))).astype(float)
    if values.ndim != 1 or steps.shape != values.shape or not values.size:
        shapes = f"{steps.shape} and {values.shape}"
        raise ValueError(f"curves: expected steps (n,) and values (n,) for `{name}`, got {shapes}")
    return steps, values


def smoothed(values: ArrayLike, span: float) -> Array:
    """The mean of each value and its neighbours, with weights dᵏ at a distance of k

        mₜ = Σₖ dᵏ (vₜ₋ₖ + vₜ₊ₖ) / Σₖ 2 dᵏ,   d = (span − 1) / (span + 1)

    where k = 0 counts once. Sums omit NaN values, and neighbours beyond the ends. NaN stays NaN. A
    mean over past values only would lag: it would be above a falling loss.
    """
    v = host(values).astype(np.float64)
    if v.ndim != 1 or not span >= 1:
        raise ValueError(f"smoothed: expected `values` (n,), `span` ≥ 1, got {v.shape}, {span}")
    d, valid = (span - 1) / (span + 1), ~np.isnan(v)

    def past(x: Array) -> Array:
        """sₜ = xₜ + d sₜ₋₁"""
        return np.array(list(itertools.accumulate(x.tolist(), lambda s, value: value + d * s)))

    def both(x: Array) -> Array:
        return past(x) + past(x[::-1])[::-1] - x  # the value at t is in both

    total, weight = both(np.where(valid, v, 0.0)), both(valid.astype(float))
    return np.where(valid, total / np.where(valid, weight, 1), np.nan)


@placed
def curves_of(
    where: Place, log_csv: PathLike, *, names: Sequence[str] | None = None, title: str = ""
) -> None:
    """Plot the curves in a run's `log.csv`, whose first line is `step,epoch,seconds,<names…>`

    `names` selects and orders the columns. Those that differ by more than a factor of ten get
    separate panels. Constants, such as a loss at equilibrium, are dashed lines beside others.
    """
    with open(log_csv, newline="", encoding="utf-8") as file:
        # a killed run may leave an incomplete last line
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    columns = [name for name in rows[0] if name not in ("step", "epoch", "seconds")] if rows else []
    groups: dict[float, dict[str, Any]] = {}  # by the size of their first column
    for name in columns if names is None else names:
        if rows and not {"step", name} <= rows[0].keys():
            raise ValueError(f"curves_of: expected columns step, {name}, got {', '.join(rows[0])}")
        cells = np.array([(row["step"], row[name]) for row in rows if row[name]], float)
        finite = np.abs(cells[np.isfinite(cells).all(axis=1), 1]) if len(cells) else cells
        size = float(np.median(finite)) if finite.size else 0.0
        near = [first for first in groups if max(first, size) <= 10 * min(first, size)]
        if len(cells):
            groups.setdefault(near[0] if near else size, {})[name] = tuple(cells.T)
    if not groups:
        raise ValueError(f"curves_of: {log_csv} has no values yet")
    size = 0.6 + 2.2 * len(groups) if len(groups) > 1 else 4.2
    with panels("curves_of", where, (8, size), len(groups), title=title, sharex=True) as axes:
        for ax, group in zip(axes, groups.values(), strict=True):
            levels = {n: v[0] for n, (_, v) in group.items() if len(v) > 1 and np.ptp(v) == 0}
            moving = {name: line for name, line in group.items() if name not in levels}
            level = levels if moving else None
            curves(ax, moving or group, reference=level, xlabel="", ylabel="")
        axes[-1].set_xlabel("step")
