"""Comparing two sets of points: features of n samples and of m real images, (n, d) and (m, d).

FID compares means and covariances. The others compare all pairs of points, some rows at a time.

Reading order: `fid`; `kid`; `precision_recall`; `energy_distance`; helpers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tinygen._batch import host
from tinygen._checks import whole
from tinygen._types import Array, ArrayLike

__all__ = ["Estimate", "energy_distance", "fid", "kid", "precision_recall"]

ROWS = 500  # of the matrix of all pairs, in memory at a time


def fid(samples: ArrayLike, real: ArrayLike) -> float:
    """|μ − ν|² + Tr(Σ + T − 2 (Σ T)^½), the Fréchet distance of two Gaussians: 0 if they are equal

    μ, Σ and ν, T are the two means and covariances. (Heusel et al. 2017, eq. 6) Tr (Σ T)^½ is the
    sum of the singular values of Σ^½ T^½, which are always real. For two sets of n points from one
    N(μ, I), FID is not 0 but about d (d + 5) / 2n. So compare FIDs only at equal n.
    """
    x, y = clouds("fid", 2, samples=samples, real=real)
    if min(len(x), len(y)) <= x.shape[1]:
        raise ValueError(f"fid: expected > {x.shape[1]} rows in each, got {len(x)} and {len(y)}")
    (mu, S), (nu, T) = _moments(x), _moments(y)
    singular = np.linalg.svd(_root(S) @ _root(T), compute_uv=False)
    traces = np.trace(S) + np.trace(T)
    return max(0.0, float(((mu - nu) ** 2).sum() + traces - 2 * singular.sum()))


def _moments(x: Array) -> tuple[Array, Array]:
    x = x.astype(np.float64)
    mean = x.mean(axis=0)
    return mean, (x - mean).T @ (x - mean) / (len(x) - 1)


def _root(covariance: Array) -> Array:
    """Σ^½ = V Λ^½ Vᵀ; eigenvalues that rounding made negative are set to 0."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


class Estimate(NamedTuple):
    """A `value` and its standard error."""

    value: float
    error: float


def kid(samples: ArrayLike, real: ArrayLike) -> Estimate:
    """E k(x, x′) + E k(y, y′) − 2 E k(x, y) with k(x, y) = (xᵀy/d + 1)³; mean 0 if equal

    Unbiased at any n, as no x is paired with itself, so it may be negative. (Bińkowski et al. 2018)
    The standard error is a jackknife estimate, leaving out one point at a time: up to √2 times too
    large if the distributions are equal. (Efron & Stein 1981)
    """
    x, y = clouds("kid", 3, samples=samples, real=real)
    n, m = len(x), len(y)
    xx, yy = _kernel_sums(x, x) - _kernel(x, x), _kernel_sums(y, y) - _kernel(y, y)
    xy, yx = _kernel_sums(x, y), _kernel_sums(y, x)
    A, B, C = xx.sum(), yy.sum(), xy.sum()

    def value(A: Array, n: int, B: Array, m: int, C: Array) -> Array:
        return A / (n * (n - 1)) + B / (m * (m - 1)) - 2 * C / (n * m)

    # leaving out xᵢ removes its row and its column
    without_x = value(A - 2 * xx, n - 1, B, m, C - xy)  # (n,)
    without_y = value(A, n, B - 2 * yy, m - 1, C - yx)  # (m,)
    variance = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    return Estimate(float(value(A, n, B, m, C)), math.sqrt(variance))


def _kernel(x: Array, y: Array) -> Array:
    """k(xᵢ, yᵢ), row by row: (n,)"""
    return _cubed((x.astype(np.float64) * y).mean(axis=1))


def _kernel_sums(x: Array, y: Array) -> Array:
    """Σⱼ k(xᵢ, yⱼ) for each i: (n,)"""
    y = y.T.astype(np.float64) / x.shape[1]
    return np.concatenate([_cubed(part @ y).sum(axis=1) for part in rows(x)])


def _cubed(product: Array) -> Array:
    product += 1
    return product * product * product  # ten times faster than product**3.0


def precision_recall(samples: ArrayLike, real: ArrayLike, k: int = 3) -> tuple[float, float]:
    """The fraction of samples that lie among the real images, and of real images among the samples

    A point lies among a set if it is as near to one of its points as that point's k-th nearest
    neighbour. (Kynkäänniemi et al. 2019) Use equally many of both, as the values change with n.
    """
    whole("precision_recall", 1, k=k)
    x, y = clouds("precision_recall", k + 1, samples=samples, real=real)
    return float(_among(x, y, k).mean()), float(_among(y, x, k).mean())


def _among(points: Array, cloud: Array, k: int) -> Array:
    centre = cloud.mean(axis=0, dtype=np.float64)
    points, cloud = points - centre, cloud - centre  # smaller numbers, less rounding
    # index 0 is the point itself, so index k is its k-th neighbour
    radii = np.concatenate([np.partition(d, k, axis=1)[:, k] for d in _squares(cloud, cloud)])
    near = _squares(
        points, cloud, slack=1e-12
    )  # so that equal points are near in spite of rounding
    return np.concatenate([(d <= radii).any(axis=1) for d in near])


def _squares(x: Array, y: Array, slack: float = 0.0) -> Iterator[Array]:
    """|xᵢ − yⱼ|² − slack (|xᵢ|² + |yⱼ|²), some rows at a time"""
    y = y.astype(np.float64)
    lengths = (1 - slack) * (y**2).sum(axis=1)
    for part in rows(x):
        square = part @ (-2 * y.T)
        square += (1 - slack) * (part**2).sum(axis=1)[:, None]
        square += lengths
        yield square


def energy_distance(x: ArrayLike, y: ArrayLike) -> float:
    """2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, of sets x (n, d) and y (m, d)

    The distance is 0 for equal distributions and positive otherwise. This estimate is unbiased, as
    no point is paired with itself, so it may be negative. It scales with the points.
    """
    x, y = clouds("energy_distance", 2, x=x, y=y)
    n, m = len(x), len(y)
    within_x = _mean_distance(x, x) * n / (n - 1)  # excludes the n zeros ‖xᵢ − xᵢ‖
    within_y = _mean_distance(y, y) * m / (m - 1)
    return 2 * _mean_distance(x, y) - within_x - within_y


def _mean_distance(x: Array, y: Array) -> float:
    """The mean of ‖xᵢ − yⱼ‖ over all pairs, some rows at a time"""
    y = y.astype(np.float64)
    total = 0.0
    for part in rows(x):
        square = np.zeros((len(part), len(y)))
        for d in range(y.shape[1]):  # x² + y² − 2xy would lose digits if x ≈ y
            square += (part[:, d, None] - y[:, d]) ** 2
        total += float(np.sqrt(square).sum())
    return total / (len(x) * len(y))


def clouds(owner: str, least: int, **sets: ArrayLike) -> list[Array]:
    """Each set on the host, checked: finite, (n, d) with n ≥ `least` and the same d"""
    arrays = [host(x) for x in sets.values()]
    for name, x in zip(sets, arrays, strict=True):
        if x.ndim != 2 or len(x) < least or x.dtype.kind not in "fiu" or not np.isfinite(x).all():
            kind = f"{x.dtype} {x.shape}"
            raise ValueError(f"{owner}: expected finite `{name}` (n ≥ {least}, d), got {kind}")
        if x.shape[1] != arrays[0].shape[1]:
            d = arrays[0].shape[1]
            raise ValueError(f"{owner}: expected `{name}` (n, {d}), got {x.shape}")
    return arrays


def rows(x: Array) -> Iterator[Array]:
    """Some rows at a time, in float64"""
    for start in range(0, len(x), ROWS):
        yield x[start : start + ROWS].astype(np.float64)
