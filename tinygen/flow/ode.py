r"""Solvers for ordinary differential equations, and the density of their solutions.

    dx/dt = f(x, t)

A flow model moves noise to data along a velocity field f. `solve` integrates f forwards or
backwards in time, by a formula for one *step*:

    x_1 = solve(f, x_0, np.linspace(0, 1, 51), heun)         50 steps
    x_0 = solve(f, x_1, (1, 0), Adaptive(rtol=1e-6))         as many steps as the tolerance needs

The density rises where the field contracts, by its divergence:

    d log p(x(t))/dt = −tr ∂f/∂x                            (Chen et al. 2018, eq. 8)

Notation: x is an array, rows first; h a step size, negative backwards in time; k values of f.
Reading order: the steps; `path`, `solve`; `divergence`, `log_likelihood`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, as_tensor, grad, to_numpy, xp
from tinygen.autograd.graph import recording

Field: TypeAlias = Callable[[Any, float], Any]
Step: TypeAlias = Callable[[Field, Array, float, float], Array]


def euler(f: Field, x: Array, t: float, h: float) -> Array:
    """x + h f(x, t). One evaluation per step; error O(h)."""
    return x + h * f(x, t)


def midpoint(f: Field, x: Array, t: float, h: float) -> Array:
    """x + h f(x + h/2 f(x, t), t + h/2). Two evaluations per step; error O(h²)."""
    return x + h * f(x + h / 2 * f(x, t), t + h / 2)


def heun(f: Field, x: Array, t: float, h: float) -> Array:
    """x + h/2 (k₁ + k₂), k₁ = f(x, t), k₂ = f(x + h k₁, t + h). Two evaluations; error O(h²)."""
    k1 = f(x, t)
    k2 = f(x + h * k1, t + h)
    return x + h / 2 * (k1 + k2)


# Dormand and Prince 1980: kᵢ = f(x + h Σ aᵢⱼ kⱼ, t + cᵢ h). The last row of a is the step of order
# 5, and its k is the next step's first; h Σ eⱼ kⱼ is its difference from the step of order 4.
C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class Adaptive:
    """An adaptive step by Dormand and Prince: as many substeps as the tolerance needs

    A substep is retried with a smaller h if its error, the difference of two orders, exceeds
    atol + rtol |x| in any element. (Hairer, Nørsett and Wanner 1993, II.4; the maximum norm makes
    each row as accurate as on its own.) `ends` are the end times of the accepted substeps;
    `rejected` counts the others, `evaluations` the calls of f.
    """

    def __init__(self, rtol: float = 1e-5, atol: float = 1e-5) -> None:
        expect("Adaptive", "≥ 0", rtol=rtol)
        expect("Adaptive", "> 0", atol=atol)
        self.rtol, self.atol = rtol, atol
        self.ends: list[float] = []
        self.rejected = self.evaluations = 0

    def __call__(self, f: Field, x: Array, t: float, h: float) -> Array:
        end, shortest = t + h, 1e-12 * abs(h)
        k = f(x, t)
        self.evaluations += 1
        while t != end:
            rest = end - t
            h = rest if abs(h) > abs(rest) else h
            with np.errstate(over="ignore", invalid="ignore"):  # a step too long may overflow
                ks = [k]
                for c, row in zip(C, A, strict=True):
                    y = x + h * _mix(row, ks)
                    ks.append(f(y, t + c * h))
                allowed = self.atol + self.rtol * xp.maximum(abs(x), abs(y))
                error = float((abs(h * _mix(E, ks)) / allowed).max())
            self.evaluations += len(A)
            if error <= 1:
                t = end if h == rest else t + h
                x, k = y, ks[-1]
                self.ends.append(t)
            else:  # also if the error is nan
                self.rejected += 1
            h *= min(5.0, max(0.2, 0.9 * max(error, 1e-9) ** (-1 / 5)))  # eq. 4.13; nan gives 0.2
            if abs(h) < shortest < abs(end - t):
                raise ValueError(f"Adaptive: step size underflow at t = {t:.6g}: is `f` finite?")
        return x


def _mix(weights: Iterable[float], ks: list[Array]) -> Array:
    products = (w * k for w, k in zip(weights, ks, strict=True) if w)
    return sum(products, next(products))


def path(f: Field, x: Array, times: Iterable[float], step: Step = heun) -> Iterator[Array]:
    """The states at the times, x at the first of them, with one step from each to the next"""
    grid = [float(t) for t in times]
    h = np.diff(grid)
    if not (len(h) and np.isfinite(h).all() and ((h > 0).all() or (h < 0).all())):
        raise ValueError(f"path: expected ≥ 2 `times`, increasing or decreasing, got {grid}")
    yield x
    for t, following in pairwise(grid):
        x = step(f, x, t, following - t)
        yield x


def solve(f: Field, x: Array, times: Iterable[float], step: Step = heun) -> Array:
    """The state at the last of the times, starting from x at the first: see `path`."""
    return deque(path(f, x, times, step), maxlen=1).pop()


def divergence(f: Field, x: Array, t: float, probes: Any = None) -> tuple[Array, Array]:
    """f(x, t) and tr ∂f/∂x of each row: (N, …) and (N,)

    `f` maps Tensors to Tensors, each row on its own. The trace is exact, Σ e_dᵀ (∂f/∂x) e_d over
    the D elements of a row (D gradients), or, with `probes` ε (K, N, …), the mean of εᵀ (∂f/∂x) ε
    (K gradients). This is unbiased if the elements of ε are independent, with mean 0 and variance 1
    (Hutchinson 1989; Grathwohl et al. 2019, section 3.1).
    """
    at = Tensor(x, requires_grad=True)
    token = recording.set(True)  # even under the caller's `no_grad`
    try:
        v = as_tensor(f(at, t))
    finally:
        recording.reset(token)
    vectors = probes
    if probes is None:  # the unit vectors e_d, one for each element of a row
        units = xp.eye(math.prod(x.shape[1:]), dtype=x.dtype)
        vectors = [
            xp.broadcast_to(units[d].reshape(x.shape[1:]), x.shape) for d in range(len(units))
        ]
    trace = xp.zeros(len(x), x.dtype)
    for e in vectors:
        g = grad(v, at, cotangent=Tensor(e))  # (N, …): eᵀ ∂f/∂x
        trace = trace + (g.data * e).reshape(len(x), -1).sum(axis=1)
    return v.data, trace if probes is None else trace / len(probes)


def log_likelihood(
    f: Field,
    x: Array,
    times: Iterable[float] = (1.0, 0.0),
    *,
    probes: int | None = None,
    rng: Rng | None = None,
    step: Step | None = None,
) -> Array:
    """log p(x) of each row, in nats: log p(x(T)) + ∫ tr ∂f/∂x dt from the first of the times to T

    The field leads from data, at the first of the times, to N(0, I), at the last, T. `f` is as for
    `divergence`. The trace is exact, or estimated with `probes` random vectors of ±1, sampled once
    from `rng` for the whole path. The default step is `Adaptive()`.
    """
    N, D = len(x), math.prod(x.shape[1:])
    noise = None
    if probes is not None:
        whole("log_likelihood", 1, probes=probes)
        signs = 2 * generator("log_likelihood", rng).integers(0, 2, (probes, *x.shape)) - 1
        noise = [xp.asarray(e, dtype=x.dtype) for e in signs]

    def both(state: Array, t: float) -> Array:  # x and the integral of the trace: (N, D + 1)
        v, trace = divergence(f, state[:, :D].reshape(x.shape), t, noise)
        return xp.concatenate([v.reshape(N, D), trace[:, None]], axis=1)

    state = xp.concatenate([x.reshape(N, D), xp.zeros((N, 1), x.dtype)], axis=1)
    state = solve(both, state, times, Adaptive() if step is None else step)
    z = state[:, :D]
    log_prior = -0.5 * (math.log(2 * math.pi) + z * z).sum(axis=1)  # log N(z; 0, I)
    return to_numpy(log_prior + state[:, D])
