"""Curves of a run: losses and other numbers by step.

A loss by step is noise around a line. `curves` draws both: the values pale, and over them a mean
of neighbours, whose formula is `smoothed`'s. What is NaN or infinite leaves a gap and a cross, for
it is what one must not miss.

Reading order: `curves`, with its rules `smoothed` and `spans_decades`; `curves_of`, which reads a
log; then how lines are drawn, thinned and labelled.
"""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from tinygen._types import Array
from tinygen.image.style import COLOURS, GREY, Place, deep, note, on_host, panels

__all__ = ["curves", "curves_of", "smoothed"]

DECADES = 2.0  # from here on, a logarithmic axis
BUCKETS = 1000  # a line of more values than some of these is drawn through their extremes
FEW = 40  # values, each of which is then marked by a dot
BEYOND = 0.5  # per cent of the raw values that may leave the frame at either end


class Line(NamedTuple):
    """One series: its finite values with NaN for the rest, their running mean, and that rest."""

    name: str
    steps: Array
    values: Array
    mean: Array
    lost: Array  # steps at which the value can't be drawn


# --- curves ---------------------------------------------------------------------------------------


def curves(
    where: Place,
    series: Mapping[str, Any],
    *,
    ylabel: str = "loss",
    xlabel: str = "step",
    log: bool | None = None,
    smooth: int | None = None,
    reference: Mapping[str, float] | None = None,
    title: str | None = None,
) -> None:
    """Series by step, each under its name: values, or a tuple (steps, values)

    Over the pale values goes the mean of about `smooth` neighbours (`smoothed`); by default a
    fiftieth of a series or ten, and none below a hundred values; 1 is none. The y axis is
    logarithmic if `log`, and by default if all values are positive and the largest is a hundred
    times the smallest or more. It holds all means, and all but the outermost 1 % of noisy values.
    `reference` names levels to compare with, such as {"2 log 2": 1.386}: dashed lines.
    """
    levels = {str(name): float(value) for name, value in (reference or {}).items()}
    lines = [_line("curves", str(name), each, smooth) for name, each in _named(series).items()]
    with panels("curves", where, (8, 4.2), title=title) as (ax,):
        _draw_curves(ax, lines, levels, log)
        ax.set(xlabel=xlabel, ylabel=ylabel)


def smoothed(values: Any, span: float) -> Array:
    """Each value's mean with its neighbours, those k away on either side with weight dᵏ

        mₜ = Σₖ dᵏ (vₜ₋ₖ + vₜ₊ₖ) / Σₖ 2 dᵏ,   d = (span − 1) / (span + 1)

    where a sum counts k = 0 once and goes only as far as there are values: then all weights add up
    to `span` in the middle of a long series, and at its ends no missing value is taken for 0. An
    average of what lies behind alone would lag, and a falling loss be drawn above its own values.
    Where a value is NaN the mean is too, and its neighbours' means go without it.
    """
    v = np.asarray(on_host(values), np.float64)
    if v.ndim != 1:
        raise ValueError(f"smoothed: expected `values` (n,), got {v.shape}")
    if not span >= 1:
        raise ValueError(f"smoothed: expected `span` ≥ 1, got {span!r}")
    d, there = (span - 1) / (span + 1), ~np.isnan(v)
    w, v = there.astype(float), np.where(there, v, 0.0)
    # from behind and from ahead; what is at t itself is in both
    total = _decayed(v, d) + _decayed(v[::-1], d)[::-1] - v
    weight = _decayed(w, d) + _decayed(w[::-1], d)[::-1] - w
    return np.where(there, total / np.where(there, weight, 1), np.nan)


def _decayed(x: Array, d: float) -> Array:
    """sₜ = xₜ + d sₜ₋₁"""
    return np.array(list(itertools.accumulate(x.tolist(), lambda s, value: value + d * s)))


def spans_decades(values: Array) -> bool:
    """Whether all are positive and the largest is a hundred times the smallest or more."""
    return bool(values.size and values.min() > 0 and values.max() >= 10**DECADES * values.min())


def curves_of(
    where: Place,
    log_csv: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    smooth: int | None = None,
    title: str | None = None,
) -> None:
    """The curves in a run's `log.csv`, whose first line is `step,epoch,seconds,<names…>`

    `names` chooses columns and their order; by default all. Those whose sizes differ by more than
    a factor of ten get panels of their own. An empty cell is a value that was not measured. What
    never changes, such as the loss at which a game is at rest, is a dashed line beside others.
    """
    columns = _read("curves_of", log_csv)
    steps = columns.pop("step")
    for known in ("epoch", "seconds"):
        columns.pop(known, None)
    chosen = list(columns) if names is None else list(names)
    missing = [name for name in chosen if name not in columns]
    if missing or not chosen:
        raise ValueError(
            f"curves_of: expected names among {', '.join(columns)}, got "
            f"{', '.join(missing) or 'none'}"
        )
    lines = []
    for name in chosen:
        cells = [(s, v) for s, v in zip(steps, columns[name], strict=True) if v is not None]
        if cells:
            lines.append(_line("curves_of", name, tuple(zip(*cells, strict=True)), smooth))
    if not lines:
        raise ValueError(f"curves_of: {os.fspath(log_csv)} has no values yet")
    groups = _of_one_size(lines)
    size = (8, 4.2) if len(groups) == 1 else (8, 0.6 + 2.2 * len(groups))
    reach: list[float] = []
    with panels("curves_of", where, size, rows=len(groups), title=title, sharex=True) as axes:
        for ax, group in zip(axes, groups, strict=True):
            levels = {line.name: line.values[0] for line in group if _is_level(line)}
            moving = [line for line in group if line.name not in levels]
            _draw_curves(ax, moving or group, levels if moving else {}, None, named=len(group) > 1)
            alone = group[0].name if len(group) == 1 else ""
            ax.set(ylabel=alone, xlabel="step" if ax is axes[-1] else "")
            reach = [*reach, *ax.get_xlim()]
        axes[-1].set_xlim(min(reach), max(reach))  # of the longest line, in all panels


def _read(owner: str, log_csv: str | os.PathLike[str]) -> dict[str, list[float | None]]:
    """The columns of a CSV file of numbers, with None where a cell is empty."""
    with open(log_csv, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if "step" not in header:
        raise ValueError(
            f"{owner}: expected a first line `step,…` in {os.fspath(log_csv)}, got "
            f"`{','.join(header)}`"
        )
    # a run that was killed may have left half of a last line
    rows = [row for row in rows if len(row) == len(header)]
    columns: dict[str, list[float | None]] = {name: [] for name in header}
    for row in rows:
        for name, cell in zip(header, row, strict=True):
            try:
                columns[name].append(float(cell) if cell.strip() else None)
            except ValueError:
                raise ValueError(
                    f"{owner}: expected numbers in {os.fspath(log_csv)}, got `{cell}` for `{name}`"
                ) from None
    return columns


def _is_level(line: Line) -> bool:
    return len(line.values) > 1 and bool((line.values == line.values[0]).all())


def _of_one_size(lines: list[Line]) -> list[list[Line]]:
    """Lines in groups: each joins the first whose first line is of its size, up to a factor 10."""
    groups: list[tuple[float, list[Line]]] = []
    for line in lines:
        found = np.abs(line.values[np.isfinite(line.values)])
        size = float(np.median(found)) if found.size else 0.0
        for first, group in groups:
            if max(first, size) <= 10 * min(first, size):
                group.append(line)
                break
        else:
            groups.append((size, [line]))
    return [group for _, group in groups]


def _named(series: Any) -> Mapping[str, Any]:
    if not isinstance(series, Mapping):
        raise TypeError(
            f"curves: expected `series` to be a dict from names to values, got "
            f"{type(series).__name__}"
        )
    if not series:
        raise ValueError("curves: expected `series`, got none")
    return series


def _line(owner: str, name: str, series: Any, smooth: int | None) -> Line:
    pair = isinstance(series, tuple) and len(series) == 2 and np.ndim(on_host(series[0])) == 1
    values = np.asarray(on_host(series[1] if pair else series), np.float64)
    steps = np.asarray(on_host(series[0]), np.float64) if pair else np.arange(values.size)
    if values.ndim != 1 or steps.shape != values.shape:
        raise ValueError(
            f"{owner}: expected `{name}` to be values (n,) or a tuple of steps (n,) "
            f"and values (n,), got {steps.shape} and {values.shape}"
        )
    if not values.size:
        raise ValueError(f"{owner}: `{name}` has no values")
    if smooth is not None and not (isinstance(smooth, (int, float)) and smooth >= 1):
        raise ValueError(f"{owner}: expected `smooth` ≥ 1, got {smooth!r}")
    span = smooth or (max(10, values.size / 50) if values.size >= 100 else 1)
    lost = ~np.isfinite(values)
    values = np.where(lost, np.nan, values)
    return Line(name, steps, values, smoothed(values, span) if span > 1 else values, steps[lost])


# --- drawing them ---------------------------------------------------------------------------------


def _draw_curves(
    ax: Axes, lines: list[Line], levels: dict[str, float], log: bool | None, named: bool = True
) -> None:
    every = np.concatenate([line.values[np.isfinite(line.values)] for line in lines])
    if log or (log is None and spans_decades(np.append(every, list(levels.values())))):
        ax.set_yscale("log")
        lines = [_positive(line) for line in lines]
    ends: list[tuple[float, str, str]] = []
    limits = [*levels.values()]
    left, right = min(line.steps.min() for line in lines), max(line.steps.max() for line in lines)
    for line, colour in zip(lines, _cycle(len(lines)), strict=True):
        noisy = line.mean is not line.values
        if noisy:
            ax.plot(
                *envelope(line.steps, line.values),
                color=colour,
                linewidth=0.8,
                alpha=0.3 / np.sqrt(len(lines)),
            )
        few = "o" if len(line.steps) <= FEW else None
        ax.plot(
            *envelope(line.steps, line.mean),
            color=colour,
            linewidth=1.8,
            marker=few,
            markersize=4,
            zorder=3,
            path_effects=[withStroke(linewidth=3, foreground="white")] if noisy else None,
        )
        if len(line.lost):
            crosses = np.unique(np.round((line.lost - left) / max(right - left, 1e-300), 2))
            crosses = left + crosses * (right - left)
            ax.plot(
                crosses,
                np.full(len(crosses), 0.025),
                "x",
                color=colour,
                markersize=5,
                transform=ax.get_xaxis_transform(),
            )
        found = np.isfinite(line.mean)
        if found.any():
            limits += [np.nanmin(line.mean), np.nanmax(line.mean)]
            if noisy:
                limits += [*np.nanpercentile(line.values, [BEYOND, 100 - BEYOND])]
        ends.append((line.mean[found][-1] if found.any() else -np.inf, line.name, deep(colour)))
    for name, level in levels.items():
        ax.axhline(level, color=GREY, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
        ends.append((level, name, GREY))
    _set_limits(ax, left, right, limits)
    if named:
        _label_ends(ax, ends)
    if any(len(line.lost) for line in lines):
        note(ax, (1, 0), "× not finite" + (" or not above 0" if ax.get_yscale() == "log" else ""))


def _positive(line: Line) -> Line:
    """What is not above 0 has no place on a logarithmic axis: it is lost."""
    gone = line.values <= 0
    if not gone.any():
        return line
    values = np.where(gone, np.nan, line.values)
    noisy = line.mean is not line.values
    mean = np.where(gone | (line.mean <= 0), np.nan, line.mean) if noisy else values
    return line._replace(values=values, mean=mean, lost=np.append(line.lost, line.steps[gone]))


def _cycle(count: int) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(count)]


def envelope(steps: Array, values: Array) -> tuple[Array, Array]:
    """A line that looks the same at a picture's size: of each bucket, its least and its largest."""
    if len(values) <= 4 * BUCKETS:
        return steps, values
    starts = np.linspace(0, len(values), BUCKETS, endpoint=False).astype(int)
    least = np.fmin.reduceat(values, starts)  # NaN only where all are
    largest = np.fmax.reduceat(values, starts)
    return np.repeat(steps[starts], 2), np.stack([least, largest], axis=1).ravel()


def _set_limits(ax: Axes, left: float, right: float, values: Sequence[float]) -> None:
    room = 0.01 * (right - left) or 0.5
    ax.set_xlim(left - room, right + room)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    if abs(right) >= 10_000:
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    log = ax.get_yscale() == "log"
    values = [value for value in values if value > 0 or not log]
    if not values:
        ax.set(yscale="linear", ylim=(0, 1), yticks=[])
        return
    low, high = min(values), max(values)
    if log:
        room = (high / low) ** 0.05 if high > low else 2
        ax.set_ylim(low / room, high * room)
    else:
        room = 0.05 * (high - low) or 0.05 * abs(high) or 1
        ax.set_ylim(low - room, high + room)


def _label_ends(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names at the right end of lines, moved apart where they would touch."""
    low, high = ax.get_ylim()
    scale = np.log if ax.get_yscale() == "log" else np.asarray
    heights = [
        float((scale(np.clip(y, low, high)) - scale(low)) / (scale(high) - scale(low)))
        for y, _, _ in ends
    ]
    inches = ax.bbox.height / ax.figure.dpi
    for (_, name, colour), y in zip(ends, apart(heights, 0.17 / inches), strict=True):
        ax.annotate(
            name,
            (1, y),
            (6, 0),
            "axes fraction",
            "offset points",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )


def apart(places: Sequence[float], gap: float) -> list[float]:
    """The places nearest to these (least squares) that are at least `gap` apart, in their order.

    Those that would touch become a block about the mean of where they would be; blocks that then
    touch become one.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[float]] = []  # of places less the gaps below them, which must not fall
    for k, i in enumerate(order):
        blocks.append([places[i] - k * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = [float(np.mean(block)) for block in blocks for _ in block]
    moved = {i: level[k] + k * gap for k, i in enumerate(order)}
    return [moved[i] for i in range(len(places))]
