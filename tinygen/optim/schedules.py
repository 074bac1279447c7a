"""A schedule is a function from the step, counted from 0, to the learning rate of that step.

Each function here makes one, out of plain numbers. An optimiser takes it in place of a rate:
`Adam(params, lr=warm_up(cosine(1e-3, steps=20_000), steps=500))`. So does a function of your own.

t is the step and T the number of steps; past its end a schedule stays at its final value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from tinygen._checks import number

__all__ = ["Schedule", "constant", "cosine", "exponential", "one_cycle", "step_decay", "warm_up"]

Schedule: TypeAlias = Callable[[int], float]


def _positive(name: str, value: Any) -> float:
    return number(f"{name} > 0", value, lambda x: x > 0)


def _at_least(least: int, name: str, value: Any) -> float:
    return number(f"{name} ≥ {least}", value, lambda x: x >= least)


def constant(lr: float) -> Schedule:
    """lr, at every step"""
    lr = _positive("constant: expected `lr`", lr)
    return lambda step: lr


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """lr · factor^⌊t / every⌋: multiplied by `factor` each time that `every` steps have passed"""
    lr = _positive("step_decay: expected `lr`", lr)
    every = int(_at_least(1, "step_decay: expected `every`", every))
    factor = _positive("step_decay: expected `factor`", factor)
    return lambda step: lr * factor ** (step // every)


def exponential(peak: float, steps: int, final: float) -> Schedule:
    """peak · (final / peak)^(t / T): from `peak` to `final`, by the same factor at every step"""
    peak = _positive("exponential: expected `peak`", peak)
    steps = int(_at_least(1, "exponential: expected `steps`", steps))
    final = _positive("exponential: expected `final`", final)
    return lambda step: peak * (final / peak) ** min(step / steps, 1)


def cosine(peak: float, steps: int, final: float = 0.0) -> Schedule:
    """final + (peak − final) (1 + cos π t / T) / 2  (Loshchilov & Hutter 2017, eq. 5)"""
    peak = _positive("cosine: expected `peak`", peak)
    steps = int(_at_least(1, "cosine: expected `steps`", steps))
    final = _at_least(0, "cosine: expected `final`", final)
    return lambda step: _swing(peak, final, min(step / steps, 1))


def _swing(start: float, end: float, fraction: float) -> float:
    """From `start` to `end` along half a cosine, level at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def warm_up(schedule: float | Schedule, steps: int) -> Schedule:
    """s(0) · (t + 1) / (T + 1) for t < T, then s(t − T): a line up to a schedule's first rate

    It takes T steps, so that what follows begins, and ends, that much later.
    """
    steps = int(_at_least(1, "warm_up: expected `steps`", steps))
    if callable(schedule):
        after = schedule
    else:
        after = constant(_positive("warm_up: expected a function or a rate `schedule`", schedule))
    return lambda step: after(0) * (step + 1) / (steps + 1) if step < steps else after(step - steps)


def one_cycle(
    peak: float, steps: int, start: float | None = None, final: float = 0.0, rise: float = 0.3
) -> Schedule:
    """Up to `peak` for a share `rise` of the steps, then down  (Smith & Topin 2018)

    Both ways go along half a cosine: from `start`, by default peak / 25, and to `final`.
    """
    peak = _positive("one_cycle: expected `peak`", peak)
    steps = int(_at_least(1, "one_cycle: expected `steps`", steps))
    start = _at_least(0, "one_cycle: expected `start`", peak / 25 if start is None else start)
    final = _at_least(0, "one_cycle: expected `final`", final)
    rise = number("one_cycle: expected 0 ≤ `rise` ≤ 1", rise, lambda x: 0 <= x <= 1)
    top = round(rise * steps)
    down = cosine(peak, max(steps - top, 1), final)
    return lambda step: _swing(start, peak, step / top) if step < top else down(step - top)
