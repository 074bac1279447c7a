"""Point sets in the plane, where a model's errors can be seen, and often computed.

    points, labels = ring(10_000, rng=np.random.default_rng(0))

Labels are balanced, in random order. `ring` and `grid` are PacGAN's (Lin et al. 2018, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng

__all__ = ["SETS", "PlaneSet", "Points"]
__all__ += ["checkerboard", "checkerboard_log_density", "grid", "grid_means", "log_density"]
__all__ += ["mixture", "moons", "pinwheel", "ring", "ring_means", "swirl"]


class Points(NamedTuple):
    """`points` (n, 2), float32, and `labels` (n,), int64."""

    points: Array
    labels: Array


def ring_means(modes: int = 8, radius: float = 1.0) -> Array:
    """μₖ = r (cos 2πk/K, sin 2πk/K), k from 0 to K − 1"""
    return radius * _on_circle(2 * math.pi * np.arange(modes) / modes)


def grid_means(side: int = 5, spacing: float = 2.0) -> Array:
    """The `side` × `side` points of a square lattice centred on 0, row by row"""
    ticks = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def mixture(n: int, means: ArrayLike, std: float, *, rng: Rng) -> Points:
    """x = μₖ + σ ε, ε ~ N(0, I), with balanced modes k; the label is k."""
    mu = _plane("mixture", "means", means)
    labels = balanced("mixture", n, len(mu), rng)
    x = mu[labels] + std * rng.standard_normal((n, 2))
    return Points(x.astype(np.float32), labels)


def log_density(x: ArrayLike, means: ArrayLike, std: float) -> Array:
    """log 1/K Σₖ N(x; μₖ, σ² I), the log density of `mixture` at points x (n, 2), in float64"""
    expect("log_density", "> 0", std=std)
    x, mu = _plane("log_density", "x", x), _plane("log_density", "means", means)
    square = ((x[:, None] - mu) ** 2).sum(axis=2)  # (n, K)
    nearest = square.min(axis=1, keepdims=True)  # factor out its term, the largest
    rest = np.exp((nearest - square) / (2 * std**2)).mean(axis=1)
    return np.log(rest) - nearest[:, 0] / (2 * std**2) - math.log(2 * math.pi * std**2)


def ring(n: int, *, rng: Rng, modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Points:
    """Gaussians of standard deviation `std` on a circle, at `ring_means(modes, radius)`"""
    return mixture(n, ring_means(modes, radius), std, rng=rng)


def grid(n: int, *, rng: Rng, side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Points:
    """Gaussians of standard deviation `std` on a lattice, at `grid_means(side, spacing)`"""
    return mixture(n, grid_means(side, spacing), std, rng=rng)


def moons(n: int, *, rng: Rng, noise: float = 0.1) -> Points:
    """Two interleaved half circles, plus noise N(0, noise²)

    With t ~ U(0, π), label 0 is (cos t, sin t) and label 1 is (1 − cos t, ½ − sin t).
    """
    labels = balanced("moons", n, 2, rng)
    upper = _on_circle(rng.uniform(0, math.pi, n))
    x = np.where(labels[:, None] == 0, upper, [1, 0.5] - upper)
    return Points((x + noise * rng.standard_normal((n, 2))).astype(np.float32), labels)


def swirl(n: int, *, rng: Rng, arms: int = 2, turns: float = 1.5, noise: float = 0.02) -> Points:
    """Spirals from the centre to radius 1, one arm per label, plus noise N(0, noise²)

    r ~ √U(0, 1), as for a uniform disc, at the angle 2π (turns·r + k/arms).
    """
    labels = balanced("swirl", n, arms, rng)
    r = np.sqrt(rng.random(n))
    x = r[:, None] * _on_circle(2 * math.pi * (turns * r + labels / arms))
    return Points((x + noise * rng.standard_normal((n, 2))).astype(np.float32), labels)


def pinwheel(n: int, *, rng: Rng, arms: int = 5, twist: float = 0.25) -> Points:
    """Gaussians beside the centre, bent into the arms of a pinwheel (Johnson et al. 2016)

    (u, v) ~ N((1, 0), diag(0.3², 0.1²)), turned by 2πk/arms + twist·eᵘ; the label is k.
    """
    labels = balanced("pinwheel", n, arms, rng)
    u, v = rng.standard_normal((2, n))
    u, v = 1 + 0.3 * u, 0.1 * v
    cos, sin = _on_circle(2 * math.pi * labels / arms + twist * np.exp(u)).T
    x = np.stack([cos * u - sin * v, sin * u + cos * v], axis=1)
    return Points(x.astype(np.float32), labels)


def checkerboard(n: int, *, rng: Rng, side: int = 4) -> Points:
    """Uniform on the dark squares of a board of `side` × `side` unit squares, centred on 0

    The lower left square is dark. Labels number the dark squares from there, row by row.
    """
    corners = _dark("checkerboard", side)
    labels = balanced("checkerboard", n, len(corners), rng)
    return Points((corners[labels] + rng.random((n, 2))).astype(np.float32), labels)


def checkerboard_log_density(x: ArrayLike, side: int = 4) -> Array:
    """−log(number of dark squares) at points x (n, 2) in one, otherwise −∞, in float64"""
    x, corners = _plane("checkerboard_log_density", "x", x), _dark("checkerboard_log_density", side)
    square = np.floor(x + side / 2)  # column and row
    dark = (square.sum(axis=1) % 2 == 0) & ((square >= 0) & (square < side)).all(axis=1)
    return np.where(dark, -math.log(len(corners)), -math.inf)


def _dark(owner: str, side: int) -> Array:
    """The lower left corners of the dark squares"""
    whole(owner, 1, side=side)
    row, column = np.divmod(np.arange(side * side), side)
    return (np.stack([column, row], axis=1) - side / 2)[(row + column) % 2 == 0]


def _on_circle(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _plane(owner: str, name: str, points: ArrayLike) -> Array:
    x = np.asarray(points, np.float64)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{owner}: expected `{name}` of shape (n, 2), got {x.shape}")
    return x


def balanced(owner: str, n: int, kinds: int, rng: Rng) -> Array:
    """n labels from 0 to kinds − 1 in random order, with counts that differ by at most one"""
    whole(owner, 0, n=n)
    whole(owner, 1, labels=kinds)
    # which labels get one more is random too, so that a single label can be any of them
    return generator(owner, rng).permutation(rng.permutation(kinds)[np.arange(n) % kinds])


class PlaneSet(NamedTuple):
    """`draw(n, rng=rng)`, `log_density(x)` if known, and the means and std of a mixture."""

    draw: Callable[..., Points]
    log_density: Callable[[ArrayLike], Array] | None = None
    modes: dict[str, Any] | None = None


def _mixture_set(means: ArrayLike, std: float) -> PlaneSet:
    modes: dict[str, Any] = {"means": np.asarray(means, np.float64), "std": std}
    return PlaneSet(partial(mixture, **modes), partial(log_density, **modes), modes)


SETS = {  # all about as large as the noise N(0, I)
    "ring": _mixture_set(ring_means(8, 1.5), 0.1),
    "grid": _mixture_set(grid_means(5, 0.75), 0.06),
    "mixture": _mixture_set([[-1.2, -0.8], [0.2, 1.3], [0.5, -1.0], [1.4, 0.6]], 0.35),
    "moons": PlaneSet(moons),
    "swirl": PlaneSet(partial(swirl, noise=0.03)),
    "pinwheel": PlaneSet(pinwheel),
    "checkerboard": PlaneSet(checkerboard, checkerboard_log_density),
}
