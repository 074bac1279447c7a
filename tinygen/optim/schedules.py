"""A schedule is a function from the step, counted from 0, to the learning rate of that step.

Pass one to an optimiser: `Adam(params, lr=warm_up(cosine(1e-3, steps=20_000), steps=500))`.
t is the step and T the number of steps; after T a schedule keeps its final value.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from tinygen._checks import expect

__all__ = ["Schedule", "constant", "cosine", "exponential", "one_cycle", "step_decay", "warm_up"]

Schedule: TypeAlias = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """lr at every step"""
    expect("constant", "> 0", lr=lr)
    return lambda step: lr


def step_decay(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """lr · factor^⌊t / every⌋: multiplied by `factor` every `every` steps"""
    expect("step_decay", "> 0", lr=lr, every=every, factor=factor)
    return lambda step: lr * factor ** (step // every)


def exponential(peak: float, steps: int, final: float) -> Schedule:
    """peak · (final / peak)^(t / T): from `peak` to `final`, by the same factor at every step"""
    expect("exponential", "> 0", peak=peak, steps=steps, final=final)
    return lambda step: peak * (final / peak) ** min(step / steps, 1)


def cosine(peak: float, steps: int, final: float = 0.0) -> Schedule:
    """final + (peak − final) (1 + cos π t / T) / 2  (Loshchilov & Hutter 2017, eq. 5)"""
    expect("cosine", "> 0", peak=peak, steps=steps)
    expect("cosine", "≥ 0", final=final)
    return lambda step: final + (peak - final) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


def warm_up(schedule: float | Schedule, steps: int) -> Schedule:
    """s(0) · (t + 1) / (T + 1) for t < T, then s(t − T): a linear rise before the schedule s"""
    expect("warm_up", "> 0", steps=steps)
    s = schedule if callable(schedule) else constant(schedule)
    return lambda step: s(0) * (step + 1) / (steps + 1) if step < steps else s(step - steps)


def one_cycle(peak: float, steps: int, final: float = 0.0, rise: float = 0.3) -> Schedule:
    """Cosine from peak / 25 to `peak` in `rise` · T steps, then to `final`  (Smith & Topin 2018)"""
    expect("one_cycle", "in [0, 1]", rise=rise)
    top = round(rise * steps)
    up, down = cosine(peak / 25, max(top, 1), peak), cosine(peak, max(steps - top, 1), final)
    return lambda step: up(step) if step < top else down(step - top)
