r"""The noise schedule: how an image turns into noise step by step, which a model learns to reverse.

Step t scales the image by √(1−β_t) and adds Gaussian noise of variance β_t. With ᾱ_t = ∏ (1−β_i),
i from 1 to t, x_t can be sampled directly (Ho et al. 2020, eq. 4):

    x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε,   ε ~ N(0, I)

x_T is almost pure noise. From s to t > s the formula is the same, with ᾱ_t/ᾱ_s. Between integers
log ᾱ is interpolated linearly, so that each noise level σ = √(1−ᾱ)/√ᾱ has one t.

Notation: x (N, …); t is one time for all, or (N,) on the host; a_t = √ᾱ_t and b_t = √(1−ᾱ_t).
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from tinygen._checks import expect, whole
from tinygen._types import Array, ArrayLike
from tinygen.autograd import Tensor, xp

__all__ = ["NoiseSchedule", "cosine", "linear"]

Rows = TypeVar("Rows", Array, Tensor)


def linear(T: int = 1000) -> NoiseSchedule:
    """β_t rises linearly from 0.0001 to 0.02 in 1000 steps (Ho et al. 2020, section 4)

    Another T samples the same curve ᾱ, which ends near 0.00004.
    """
    whole("linear", 1, T=T)
    curve = np.append(0, np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000))))  # log ᾱ
    return NoiseSchedule(np.exp(np.interp(np.linspace(0, 1000, T + 1), np.arange(1001), curve)))


def cosine(T: int = 1000, offset: float = 0.008) -> NoiseSchedule:
    """ᾱ_t = f(t)/f(0),  f(t) = cos²(π/2 · (t/T + s)/(1 + 2s)), s the `offset`

    (Nichol & Dhariwal 2021, eq. 17, divide by 1 + s, so that ᾱ_T = 0; with 1 + 2s, σ_T is 80.)
    """
    whole("cosine", 1, T=T)
    expect("cosine", "> 0", offset=offset)
    f = np.cos(math.pi / 2 * (np.linspace(0, 1, T + 1) + offset) / (1 + 2 * offset)) ** 2
    return NoiseSchedule(f / f[0])


class NoiseSchedule:
    """ᾱ_t for t = 0, 1, …, T, where ᾱ_0 = 1, and the distributions that it defines."""

    def __init__(self, alpha_bar: ArrayLike) -> None:
        self.alpha_bar = a = np.array(alpha_bar, np.float64)
        if a.ndim != 1 or len(a) < 2 or a[0] != 1 or not a[-1] > 0 or not (np.diff(a) < 0).all():
            raise ValueError(f"NoiseSchedule: expected `alpha_bar` falling from 1 to > 0, got {a}")
        self.T, self._log = len(a) - 1, np.log(a)

    def log_alpha_bar(self, t: ArrayLike) -> Any:
        """log ᾱ_t"""
        times = np.asarray(t, np.float64)
        if not ((times >= 0) & (times <= self.T)).all():
            raise ValueError(f"NoiseSchedule: expected `t` from 0 to {self.T}, got {t}")
        return np.interp(times, np.arange(self.T + 1), self._log)

    def scales(self, t: ArrayLike) -> tuple[Any, Any]:
        """√ᾱ_t and √(1−ᾱ_t), the scales of the image and the noise"""
        return _signal_and_noise(self.log_alpha_bar(t))

    def snr(self, t: ArrayLike) -> Any:
        """ᾱ_t / (1−ᾱ_t), the ratio of their variances; t > 0"""
        return 1 / np.expm1(-self.log_alpha_bar(t))

    def sigma(self, t: ArrayLike) -> Any:
        """σ = √(1−ᾱ_t) / √ᾱ_t"""
        return np.sqrt(np.expm1(-self.log_alpha_bar(t)))

    def time(self, sigma: float) -> float:
        """The t, generally not an integer, of noise level σ: log ᾱ_t = −log(1 + σ²)"""
        most = float(self.sigma(self.T))
        if not 0 <= sigma <= most * (1 + 1e-9):
            raise ValueError(f"NoiseSchedule: expected 0 ≤ `sigma` ≤ {most:.4g}, got {sigma:.4g}")
        return float(np.interp(math.log1p(sigma * sigma), -self._log, np.arange(self.T + 1)))

    def times(self, steps: int | None = None, start: int | None = None) -> list[int]:
        """`steps` + 1 integers from `start`, or T, down to 0, evenly spaced up to rounding"""
        start = self.T if start is None else start
        steps = start if steps is None else steps
        whole("times", 1, start=start, steps=steps)
        if not steps <= start <= self.T:
            raise ValueError(f"times: expected `steps` ≤ `start` ≤ {self.T}, got {steps}, {start}")
        return [round(t) for t in np.linspace(start, 0, steps + 1).tolist()]

    def q_sample(self, x_s: Rows, t: ArrayLike, eps: Array, s: ArrayLike = 0) -> Rows:
        """x_t = √(ᾱ_t/ᾱ_s) x_s + √(1 − ᾱ_t/ᾱ_s) ε, a sample of q(x_t|x_s) (eq. 2, 4)"""
        kept, added = _signal_and_noise(self.log_alpha_bar(t) - self.log_alpha_bar(s))
        return x_s * per_row(kept, x_s) + eps * per_row(added, x_s)

    def posterior(self, x_0: Rows, x_t: Rows, t: ArrayLike, s: ArrayLike) -> tuple[Rows, Any]:
        """The mean μ̃ and the variance β̃ of q(x_s|x_t, x_0), s < t (eq. 6, 7)

        With β = 1 − ᾱ_t/ᾱ_s,  μ̃ = √ᾱ_s β/(1−ᾱ_t) x_0 + √(ᾱ_t/ᾱ_s) (1−ᾱ_s)/(1−ᾱ_t) x_t  and
        β̃ = β (1−ᾱ_s)/(1−ᾱ_t). At s = 0 they are x_0 and 0.
        """
        at_t, at_s = self.log_alpha_bar(t), self.log_alpha_bar(s)
        beta, var_s, var_t = (-np.expm1(log) for log in (at_t - at_s, at_s, at_t))
        of_x_0, of_x_t = np.exp(at_s / 2) * beta / var_t, np.exp((at_t - at_s) / 2) * var_s / var_t
        mean = x_0 * per_row(of_x_0, x_t) + x_t * per_row(of_x_t, x_t)
        return mean, per_row(beta * var_s / var_t, x_t)


def _signal_and_noise(log_alpha_bar: Any) -> tuple[Any, Any]:
    return np.exp(log_alpha_bar / 2), np.sqrt(-np.expm1(log_alpha_bar))


def per_row(values: ArrayLike, x: Array | Tensor) -> Any:
    """A value for all of x as a float; values for its rows as an array, (N, 1, …)"""
    values = np.asarray(values)
    if not values.ndim:
        return float(values)  # not a NumPy scalar: float32 stays float32
    return xp.asarray(values.reshape(-1, *[1] * (x.ndim - 1)), x.dtype)
