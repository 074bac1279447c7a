r"""Samplers: algorithms that turn noise into images, step by step.

    noise = rng.standard_normal((64, 28, 28, 1), np.float32)
    images = last(ddim(model, noise, steps=50))

A sampler is a Python generator of its steps; `last` runs it to the end, a noise-free x̂_0.
`ancestral` samples the Markov chain that the model is trained on. `ddim` can omit the random noise
and follow the differential equation

    dx/dσ = (x − x̂_0(x, σ)) / σ,    in the scale where x = x_0 + σ ε.

Both have an error of order 1/steps; `heun` and `multistep`, on a grid of σ, of 1/steps².

Notation: x (N, …), in and out in the scale of q_sample, x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε.
Reading order: the four samplers; `sample`; `log_likelihood`; `guided`.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinygen._batch import as_rows, part, slices
from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp
from tinygen.diffusion.model import Diffusion, noise_like, x_0_and_eps
from tinygen.diffusion.schedule import NoiseSchedule
from tinygen.flow import ode
from tinygen.nn import Module, evaluating

Sigmas: TypeAlias = Sequence[float] | None


class Step(NamedTuple):
    """The state of a sampler: the time t, x at this time, and the x̂_0 that led to it."""

    t: float
    x: Array
    x_0: Array


def last(steps: Iterable[Step]) -> Array:
    """The samples: x after the last step, on the host."""
    return to_numpy(deque(steps, maxlen=1).pop().x)


def ancestral(
    model: Diffusion,
    x_T: ArrayLike,
    classes: Any = None,
    *,
    rng: Rng,
    steps: int | None = None,
    start: int | None = None,
) -> Iterator[Step]:
    """x_s ~ q(x_s | x_t, x̂_0(x_t, t)), s = t − 1, …: algorithm 2 of Ho et al. 2020, with β̃ for σ²

    `start` is the time of x_T, by default T. With fewer `steps`, s is further below t.
    """
    x, schedule = xp.asarray(x_T), model.schedule
    for t, s in pairwise(schedule.times(steps, start)):
        x_0, _ = model.denoise(x, t, classes)
        mean, variance = schedule.posterior(x_0, x, t, s)
        x = mean + math.sqrt(variance) * noise_like(x, rng=rng) if s > 0 else mean
        yield Step(s, x, x_0)


def ddim(
    model: Diffusion,
    x_T: ArrayLike,
    classes: Any = None,
    *,
    steps: int | None = 50,
    start: int | None = None,
    eta: float = 0.0,
    rng: Rng | None = None,
) -> Iterator[Step]:
    """x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s−σ²) ε̂ + σ z,  σ² = η² (1−ᾱ_s)/(1−ᾱ_t) (1 − ᾱ_t/ᾱ_s)

    (Song et al. 2021, eq. 12 and 16.) With η = 0 it is deterministic and needs no `rng`; with
    η = 1 it is `ancestral`.
    """
    expect("ddim", "in [0, 1]", eta=eta)
    x, schedule = xp.asarray(x_T), model.schedule
    for t, s in pairwise(schedule.times(steps, start)):
        x_0, eps = model.denoise(x, t, classes)
        (a_t, b_t), (a_s, b_s) = (map(float, schedule.scales(time)) for time in (t, s))
        sigma = eta * b_s / b_t * math.sqrt(1 - (a_t / a_s) ** 2)
        x = a_s * x_0 + math.sqrt(b_s**2 - sigma**2) * eps
        if sigma > 0:
            x = x + sigma * noise_like(x, rng=generator("ddim", rng))
        yield Step(s, x, x_0)


def edm_sigmas(
    schedule: NoiseSchedule, steps: int, *, low: float | None = None, high: float | None = None
) -> list[float]:
    """σ_i = (high^(1/7) + i/(n−1) (low^(1/7) − high^(1/7)))^7, i = 0 … n − 1, and 0 at the end

    (Karras et al. 2022, eq. 5.) By default, high is min(80, σ_T) and low is max(0.002, σ_1).
    """
    whole("edm_sigmas", 2, steps=steps)
    low = max(0.002, float(schedule.sigma(1))) if low is None else low
    high = min(80.0, float(schedule.sigma(schedule.T))) if high is None else high
    expect("edm_sigmas", "> 0", low=low, high=high)
    grid = np.linspace(high ** (1 / 7), low ** (1 / 7), steps) ** 7.0
    return [*grid.tolist(), 0.0]


def heun(
    model: Diffusion, x_T: ArrayLike, classes: Any = None, *, steps: int = 18, sigmas: Sigmas = None
) -> Iterator[Step]:
    """d = (x − x̂_0)/σ;  x' = x + (σ' − σ) d, then again with the mean of d and d' at x'

    (Karras et al. 2022, algorithm 1.) Two calls of the network per step, or one if σ' = 0.
    `sigmas` replaces the grid of `edm_sigmas`; if it increases, the steps lead to noise.
    """
    grid = _grid(model, steps, sigmas)
    x = xp.asarray(x_T) * math.sqrt(1 + grid[0] ** 2)  # to the scale of x_0 + σ ε
    for sigma, after in pairwise(grid):
        x_0 = _denoise(model, x, sigma, classes)
        d = (x - x_0) / sigma
        euler = x + (after - sigma) * d
        if after > 0:
            d_after = (euler - _denoise(model, euler, after, classes)) / after
            x = x + (after - sigma) * (d + d_after) / 2
        else:
            x = x_0
        yield Step(model.schedule.time(after), x / math.sqrt(1 + after**2), x_0)


def multistep(
    model: Diffusion, x_T: ArrayLike, classes: Any = None, *, steps: int = 20, sigmas: Sigmas = None
) -> Iterator[Step]:
    """x' = (σ'/σ) x + (1 − e^(−h)) D,  h = log σ/σ',  D = x̂_0 + h/(2 h_before) (x̂_0 − x̂_0,before)

    DPM-Solver++(2M) (Lu et al. 2022, algorithm 2, in the scale of x_0 + σ ε): x̂_0 is
    extrapolated linearly from the step before. In the first step and the last, D = x̂_0.
    """
    grid = _grid(model, steps, sigmas)
    x = xp.asarray(x_T) * math.sqrt(1 + grid[0] ** 2)
    before, h_before = None, 0.0
    for sigma, after in pairwise(grid):
        x_0 = _denoise(model, x, sigma, classes)
        if after > 0:
            h = math.log(sigma / after)
            D = x_0 if before is None else x_0 + h / (2 * h_before) * (x_0 - before)
            x = after / sigma * x - math.expm1(-h) * D
            before, h_before = x_0, h
        else:
            x = x_0
        yield Step(model.schedule.time(after), x / math.sqrt(1 + after**2), x_0)


def _grid(model: Diffusion, steps: int, sigmas: Sigmas) -> list[float]:
    grid = edm_sigmas(model.schedule, steps) if sigmas is None else list(map(float, sigmas))
    if len(grid) < 2 or not min(grid[:-1]) > 0:
        raise ValueError(f"samplers: expected ≥ 2 `sigmas`, all but the last > 0, got {grid}")
    return grid


def _denoise(model: Diffusion, x: Array, sigma: float, classes: Any) -> Array:
    """x̂_0 from x = x_0 + σ ε, by a network that is trained on √ᾱ x"""
    t = model.schedule.time(sigma)
    return model.denoise(x / math.sqrt(1 + sigma * sigma), t, classes)[0]


def sample(
    model: Diffusion,
    noise: Array,
    classes: Any = None,
    *,
    sampler: Callable[..., Iterator[Step]] = multistep,
    size: int = 250,
    **options: Any,
) -> Array:
    """Samples from all rows of `noise`, `size` at a time, by a sampler with these `options`"""
    parts = ((noise[rows], part(classes, rows)) for rows in slices("sample", noise, size))
    return np.concatenate([last(sampler(model, x_T, y, **options)) for x_T, y in parts])


def log_likelihood(
    model: Diffusion, x: ArrayLike, classes: Any = None, *, steps: int = 60, **options: Any
) -> Array:
    """log p(x) of each x_0, in nats, by integrating dx/du = b (ε̂ − b x) to noise, u = log σ

    It is the equation at the top of this file for x_t (Song et al. 2021b, section 4.3), from t = 1.
    Exact, or estimated with the options `probes` and `rng` of `ode.log_likelihood`.
    """
    whole("log_likelihood", 1, steps=steps)
    schedule = model.schedule

    def field(x: Tensor, u: float) -> Tensor:
        t = schedule.time(math.exp(u))
        a, b = map(float, schedule.scales(t))
        eps = x_0_and_eps(model.predicts, model(x, t, classes), x, a, b)[1]
        return b * (eps - b * x)

    low, high = (math.log(schedule.sigma(t)) for t in (1, schedule.T))
    times, x = np.linspace(low, high, steps + 1), xp.asarray(x)
    with evaluating(model):
        return ode.log_likelihood(field, x, times, step=ode.heun, **options)


class Guided(Module):
    """f(x, t, ∅) + w (f(x, t, c) − f(x, t, ∅)), where ∅ is the label for "any class"

    (Ho & Salimans 2022, eq. 6, with w for their 1 + w.) w = 0 ignores the class, w = 1 is the
    network itself, and w > 1 exaggerates what distinguishes the class from others.
    """

    def __init__(self, network: Callable[..., Any], weight: float, null: ArrayLike) -> None:
        expect("guided", "finite", weight=weight)
        self.network, self.weight, self.null = network, weight, null

    def forward(self, x: Tensor, t: Tensor, classes: Any = None) -> Tensor:
        if classes is None:
            raise ValueError("Guided: expected `classes`, got None")
        classes = as_rows(classes)
        if self.weight == 1:
            return as_tensor(self.network(x, t, classes))
        null = as_tensor(xp.zeros_like(classes.data) + self.null)
        any_class = as_tensor(self.network(x, t, null))
        if self.weight == 0:
            return any_class
        return any_class + self.weight * (as_tensor(self.network(x, t, classes)) - any_class)


def guided(model: Any, weight: float, null: ArrayLike) -> Any:
    """A copy of the model, or network, with guidance: `Guided` around its network

    Guiding ε, x_0 or v is the same: given x_t, they are affine functions of each other.
    """
    if not isinstance(model, Diffusion):
        return Guided(model, weight, null)
    model = copy.copy(model)
    model.network = Guided(model.network, weight, null)
    return model
