r"""Two clouds of points compared: features of n samples and of m real images, (n, d) and (m, d).

FID asks whether both have the same mean and covariance, and needs of a cloud no more: `Statistics`
gathers them batch by batch. KID, precision and recall compare points with points. For them all
features are kept, as float32: of 50,000 images, with d = 64, that is 13 MB. The matrix of all pairs
never is in memory, only some rows of it.

Reading order: `Statistics` and `fid`; `kid`; `precision_recall`; `energy_distance`; at the end what
they share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygen._batch import host
from tinygen._types import Array

__all__ = [
    "Estimate",
    "PrecisionRecall",
    "Statistics",
    "energy_distance",
    "fid",
    "kid",
    "mean_distance",
    "precision_recall",
]


ROWS = 500  # of the matrix of all pairs


# --- Fréchet distance -----------------------------------------------------------------------------


class Statistics:
    """The number of rows of features (n, d), their mean μ and covariance Σ, from batches

    Together with another set's, mean ν, scatter T and size m, the scatter S = Σᵢ (xᵢ − μ)(xᵢ − μ)ᵀ
    is S + T + nm/(n + m) (μ − ν)(μ − ν)ᵀ (Chan et al. 1983). All is float64.
    """

    def __init__(self, features: Any = None) -> None:
        self.n = 0
        self.mean, self.scatter = np.zeros(0), np.zeros((0, 0))
        if features is not None:
            self.update(features)

    def update(self, features: Any) -> Statistics:
        """Add a batch of features."""
        x = checked("Statistics", "features", features).astype(np.float64)
        batch = Statistics()
        batch.n, batch.mean = len(x), x.mean(axis=0)
        batch.scatter = (x - batch.mean).T @ (x - batch.mean)
        return self.merge(batch)

    def merge(self, other: Statistics) -> Statistics:
        """Add all that the other has seen."""
        if not other.n:
            return self
        if not self.n:
            self.mean, self.scatter = np.zeros_like(other.mean), np.zeros_like(other.scatter)
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"Statistics: expected features of {self.mean.size} numbers, got {other.mean.size}"
            )
        n, m, apart = self.n, other.n, other.mean - self.mean
        self.n = n + m
        self.scatter = self.scatter + other.scatter + n * m / (n + m) * np.outer(apart, apart)
        self.mean = self.mean + m / (n + m) * apart
        return self

    @property
    def covariance(self) -> Array:
        """S / (n − 1)"""
        if self.n < 2:
            raise ValueError(f"Statistics: expected 2 rows of features or more, got {self.n}")
        return self.scatter / (self.n - 1)


def fid(samples: Any, real: Any) -> float:
    """|μ − ν|² + Tr(Σ + T − 2 (Σ T)^½), the Fréchet distance of two Gaussians: 0 if they are equal

    Each set is given as features (n, d), or as their `Statistics`. (Heusel et al. 2017, eq. 6)
    Tr (Σ T)^½ is the sum of the singular values of Σ^½ T^½, which are real whatever Σ and T. Of two
    sets of n points from one N(μ, I) it is not 0, but about d (d + 5) / 2n: in the mean ¼|Σ − T|²
    is d (d + 1) / 2n, and |μ − ν|² is 2d / n. So FIDs are compared at one n.
    """
    sets = []
    for name, each in (("samples", samples), ("real", real)):
        each = each if isinstance(each, Statistics) else Statistics(each)
        if each.n <= (d := each.mean.size):
            raise ValueError(
                f"fid: expected `{name}` to be at least {d + 1} rows, for features of "
                f"{d} numbers, got {each.n}"
            )
        sets.append(each)
    a, b = sets
    if a.mean.size != b.mean.size:
        raise ValueError(
            f"fid: expected features of one length, got {a.mean.size} numbers in "
            f"`samples` and {b.mean.size} in `real`"
        )
    singular = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(((a.mean - b.mean) ** 2).sum() + traces - 2 * singular.sum()))


def _root(covariance: Array) -> Array:
    """Σ^½ = V Λ^½ Vᵀ; eigenvalues that rounding has made negative are 0."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


# --- kernel distance ------------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A `value` and its standard error."""

    value: float
    error: float


def kid(samples: Any, real: Any) -> Estimate:
    """E k(x, x′) + E k(y, y′) − 2 E k(x, y) with k(x, y) = (xᵀy/d + 1)³; 0 in the mean if equal

    Without bias at any n, for no x meets itself, so that it may be negative. (Bińkowski et al.
    2018) The error is the jackknife's, from what the value would be without each of the points: not
    too small, and up to √2 times too large where the distributions are equal. (Efron & Stein 1981)
    """
    x, y = checked("kid", "samples", samples, 3), checked("kid", "real", real, 3)
    alike("kid", x, y)
    n, m = len(x), len(y)
    xx, yy = _kernel_sums(x, x) - _kernel(x, x), _kernel_sums(y, y) - _kernel(y, y)
    xy, yx = _kernel_sums(x, y), _kernel_sums(y, x)
    A, B, C = xx.sum(), yy.sum(), xy.sum()

    def value(A: Any, n: Any, B: Any, m: Any, C: Any) -> Any:
        return A / (n * (n - 1)) + B / (m * (m - 1)) - 2 * C / (n * m)

    # without xᵢ its row and its column are gone
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
    return product * product * product  # a power of 3.0 takes ten times as long


# --- precision and recall -------------------------------------------------------------------------


class PrecisionRecall(NamedTuple):
    """The share of samples that look real, and the share of the real that samples come near."""

    precision: float
    recall: float


def precision_recall(samples: Any, real: Any, k: int = 3) -> PrecisionRecall:
    """The share of samples that lie `among` the real, and of the real that lie among the samples

    (Kynkäänniemi et al. 2019) Give as many samples as real images: both change with n.
    """
    x = checked("precision_recall", "samples", samples)
    y = checked("precision_recall", "real", real)
    alike("precision_recall", x, y)
    return PrecisionRecall(float(among(x, y, k).mean()), float(among(y, x, k).mean()))


def among(points: Array, cloud: Array, k: int = 3) -> Array:
    """Whether each point is as near to one of the cloud's as that one's k-th neighbour in it is

    bool (n,). A neighbour is another point of the cloud, wherever it is.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < len(cloud):
        raise ValueError(
            f"precision_recall: expected `k` to be an int from 1 to below the number "
            f"of rows, {len(cloud)}, got {k!r}"
        )
    # the nearest to a point of the cloud is itself, so that its k-th neighbour is number k from 0
    reach = np.concatenate(
        [np.partition(square, k, axis=1)[:, k] for square in _squares(cloud, cloud)]
    )
    reach += 1e-12 * (cloud.astype(np.float64) ** 2).sum(axis=1).max()  # rounding, of equal points
    return np.concatenate([(square <= reach).any(axis=1) for square in _squares(points, cloud)])


def _squares(x: Array, y: Array) -> Iterator[Array]:
    """|xᵢ − yⱼ|², some rows at a time"""
    y = y.astype(np.float64)
    lengths = (y**2).sum(axis=1)
    for part in rows(x):
        square = part @ (-2 * y.T)
        square += (part**2).sum(axis=1)[:, None]
        square += lengths
        yield square


# --- energy distance ------------------------------------------------------------------------------


def energy_distance(x: Any, y: Any) -> float:
    """2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, of sets x (n, d) and y (m, d)

    It is 0 only for equal distributions, else above. This estimate is without bias, for no point
    meets itself, so that for equal ones it is as often below 0. In one dimension it is twice the
    integral of the squared difference of the distribution functions; it scales as the points do.
    """
    x, y = checked("energy_distance", "x", x, 2), checked("energy_distance", "y", y, 2)
    alike("energy_distance", x, y, ("x", "y"))
    n, m = len(x), len(y)
    within_x = mean_distance(x, x) * n / (n - 1)  # without the n zeros of each to itself
    within_y = mean_distance(y, y) * m / (m - 1)
    return 2 * mean_distance(x, y) - within_x - within_y


def mean_distance(x: Array, y: Array) -> float:
    """The mean of ‖xᵢ − yⱼ‖ over all pairs, some rows at a time"""
    y = y.astype(np.float64)
    total = 0.0
    for part in rows(x):
        square = np.zeros((len(part), len(y)))
        for d in range(y.shape[1]):  # of differences: a product would lose the digits of near ones
            square += (part[:, d, None] - y[:, d]) ** 2
        total += float(np.sqrt(square).sum())
    return total / (len(x) * len(y))


# --- what they share ------------------------------------------------------------------------------


def checked(owner: str, name: str, x: Any, least: int = 1) -> Array:
    x = np.asarray(host(x))
    if x.ndim != 2 or len(x) < least or x.dtype.kind not in "fiu":
        raise ValueError(
            f"{owner}: expected `{name}` of shape (n, d) with n ≥ {least}, got "
            f"{x.dtype} of shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError(
            f"{owner}: expected finite `{name}`, got "
            f"{int((~np.isfinite(x)).sum())} nan or inf in {x.size}"
        )
    return x


def alike(owner: str, x: Array, y: Array, names: tuple[str, str] = ("samples", "real")) -> None:
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{owner}: expected rows of one length, got `{names[0]}` {x.shape} and "
            f"`{names[1]}` {y.shape}"
        )


def rows(x: Array) -> Iterator[Array]:
    """Some rows at a time, in float64"""
    for start in range(0, len(x), ROWS):
        yield x[start : start + ROWS].astype(np.float64)
