r"""Ordinary differential equations: where a point goes that moves with a given velocity.

    dx/dt = f(x, t)

A generative model that is a velocity field takes noise along it to data. `solve` follows it with a
*step*, one formula, from time to time, or back:

    x_1 = solve(f, x_0, np.linspace(0, 1, 51), heun)         50 steps
    x_0 = solve(f, x_1, (1, 0), Adaptive(rtol=1e-6))         as many steps as that takes

Where points crowd together the density rises, by the field's divergence:

    d log p(x(t))/dt = −tr ∂f/∂x                            (Chen et al. 2018, eq. 8)

Notation: x is an array, rows first; h a step's length, negative on the way back; k values of f.
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
    """x + h f(x, t). One evaluation a step; the error falls as h."""
    return x + h * f(x, t)


def midpoint(f: Field, x: Array, t: float, h: float) -> Array:
    """x + h f(x + h/2 f(x, t), t + h/2). Two evaluations a step; the error falls as h²."""
    return x + h * f(x + h / 2 * f(x, t), t + h / 2)


def heun(f: Field, x: Array, t: float, h: float) -> Array:
    """x + h/2 (k₁ + k₂), k₁ = f(x, t), k₂ = f(x + h k₁, t + h). Two evaluations; as h²."""
    k1 = f(x, t)
    k2 = f(x + h * k1, t + h)
    return x + h / 2 * (k1 + k2)


# Dormand and Prince 1980: kᵢ = f(x + h Σ aᵢⱼ kⱼ, t + cᵢ h). The last row of a is the step of order
# 5 itself, whose k is the next step's first; h Σ eⱼ kⱼ is how much a step of order 4 differs.
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
    """A step that takes as many as the tolerance wants, each as long as it allows

    Steps whose error, the difference of two formulas of different order, is somewhere above
    atol + rtol |x| are tried again, shorter. (Hairer, Nørsett and Wanner 1993, II.4; with the
    maximum norm, so that each row is as exact as alone.) `ends` are the times at which steps ended;
    `rejected` counts those that were tried again, `evaluations` the calls of the field.
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
            with np.errstate(over="ignore", invalid="ignore"):  # a step too long may overshoot
                ks = [k]
                for c, row in zip(C, A, strict=True):
                    y = x + h * _mix(row, ks)
                    ks.append(f(y, t + c * h))
                allowed = self.atol + self.rtol * xp.maximum(abs(x), abs(y))
                size = float((abs(h * _mix(E, ks)) / allowed).max())
            self.evaluations += len(A)
            if size <= 1:
                t = end if h == rest else t + h
                x, k = y, ks[-1]
                self.ends.append(t)
            else:  # also where it is not a number
                self.rejected += 1
            h *= min(5.0, max(0.2, 0.9 * max(size, 1e-9) ** (-1 / 5)))  # eq. 4.13; of nan 0.2
            if abs(h) < shortest < abs(end - t):
                raise ValueError(f"Adaptive: no step short enough at t = {t:.6g}: is `f` finite?")
        return x


def _mix(weights: Iterable[float], ks: list[Array]) -> Array:
    products = (w * k for w, k in zip(weights, ks, strict=True) if w)
    return sum(products, next(products))


def path(f: Field, x: Array, times: Iterable[float], step: Step = heun) -> Iterator[Array]:
    """The states at all the times, x itself at the first of them; a step from each to the next"""
    clock = [float(t) for t in times]
    h = np.diff(clock)
    if not (len(h) and np.isfinite(h).all() and ((h > 0).all() or (h < 0).all())):
        raise ValueError(f"path: expected 2 `times` or more that rise, or fall, got {clock}")
    yield x
    for t, following in pairwise(clock):
        x = step(f, x, t, following - t)
        yield x


def solve(f: Field, x: Array, times: Iterable[float], step: Step = heun) -> Array:
    """The state at the last of the times, of x at the first: see `path`."""
    return deque(path(f, x, times, step), maxlen=1).pop()


def divergence(f: Field, x: Array, t: float, probes: Any = None) -> tuple[Array, Array]:
    """f(x, t) and tr ∂f/∂x of each row: (N, …) and (N,)

    `f` takes and gives Tensors, and a row of what it gives depends on the same row of x alone. The
    trace is exact, Σ e_dᵀ (∂f/∂x) e_d over the D entries of a row, D gradients; or with `probes` ε
    (K, N, …) the mean of εᵀ (∂f/∂x) ε, K gradients, which in expectation is the trace if the ε are
    independent, of mean 0 and variance 1 (Hutchinson 1989; Grathwohl et al. 2019, section 3.1).
    """
    at = Tensor(x, requires_grad=True)
    token = recording.set(True)  # also where the caller's own steps are not recorded
    try:
        v = as_tensor(f(at, t))
    finally:
        recording.reset(token)
    vectors = probes
    if probes is None:  # the unit vectors: one entry of each row after the other
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
    `divergence`, the trace exact, or estimated with `probes` random vectors of ±1, drawn from `rng`
    once, for all of the way. By default the step is `Adaptive()`.
    """
    N, D = len(x), math.prod(x.shape[1:])
    noise = None
    if probes is not None:
        whole("log_likelihood", 1, probes=probes)
        signs = 2 * generator("log_likelihood", rng).integers(0, 2, (probes, *x.shape)) - 1
        noise = [xp.asarray(e, dtype=x.dtype) for e in signs]

    def both(state: Array, t: float) -> Array:  # x, and beside it what log p has gained: (N, D + 1)
        v, trace = divergence(f, state[:, :D].reshape(x.shape), t, noise)
        return xp.concatenate([v.reshape(N, D), trace[:, None]], axis=1)

    state = xp.concatenate([x.reshape(N, D), xp.zeros((N, 1), x.dtype)], axis=1)
    state = solve(both, state, times, Adaptive() if step is None else step)
    z = state[:, :D]
    log_prior = -0.5 * (math.log(2 * math.pi) + z * z).sum(axis=1)  # log N(z; 0, I)
    return to_numpy(log_prior + state[:, D])
