r"""How an image turns into noise, little by little: the process that a diffusion model undoes.

From x_0, an image, noise is added in T steps. At step t a part √(1−β_t) of the image is kept and as
much Gaussian noise added as keeps the variance, so that with ᾱ_t = ∏ (1−β_i), i from 1 to t,

    x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε,   ε ~ N(0, I)                       (Ho et al. 2020, eq. 4)

can be drawn at once. x_0 is the image itself, for ᾱ_0 = 1, and x_T as good as pure noise.

Steps of any length are the same formula: from s to t > s the part √(ᾱ_t/ᾱ_s) is kept. And t may lie
between two whole numbers: log ᾱ is taken to be straight there. So there is one t, and only one, for
every ratio σ = √(1−ᾱ)/√ᾱ of noise to image, which is the clock of Karras et al. (2022): in their
scale, x_t/√ᾱ_t, the image stays as large as it is, x_0 + σ ε.

Notation: x (N, …) are images, or points; t one time for all, or (N,) of them on the host; alpha_bar
is ᾱ, (T + 1,), from t = 0; a_t = √ᾱ_t and b_t = √(1−ᾱ_t).

Reading order: `linear`, `cosine`; `NoiseSchedule`: its clocks, then its two distributions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen._checks import number, whole
from tinygen.autograd import xp

__all__ = ["NoiseSchedule", "cosine", "linear"]


# --- two schedules --------------------------------------------------------------------------------


def linear(T: int = 1000) -> NoiseSchedule:
    """β_t from 0.0001 to 0.02, evenly, in 1000 steps (Ho et al. 2020, section 4)

    For another T it is the same curve ᾱ, in as many steps: it always ends near 0.00004.
    """
    whole("linear", 1, T=T)
    log_alpha_bar = np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000)))
    curve = np.concatenate([[0.0], log_alpha_bar])
    return NoiseSchedule(np.exp(np.interp(np.linspace(0, 1000, T + 1), np.arange(1001), curve)))


def cosine(T: int = 1000, offset: float = 0.008) -> NoiseSchedule:
    """ᾱ_t = f(t)/f(0),  f(t) = cos²(π/2 · (t/T + s)/(1 + 2s)), s the `offset`

    After Nichol & Dhariwal 2021, eq. 17: images keep their shape for longer than with `linear`.
    They divide by 1 + s, so that ᾱ_T would be 0, where the noise says nothing of x_0, and cut the
    last β off. Here s keeps the curve away from both ends, and σ_T is 80.
    """
    whole("cosine", 1, T=T)
    s = number("cosine: expected `offset` > 0", offset, lambda x: x > 0)
    f = np.cos(math.pi / 2 * (np.linspace(0, 1, T + 1) + s) / (1 + 2 * s)) ** 2
    return NoiseSchedule(f / f[0])


# --- what follows from a schedule -----------------------------------------------------------------


class NoiseSchedule:
    """ᾱ_t for t = 0, 1, …, T, of which ᾱ_0 = 1, and the distributions that it makes."""

    def __init__(self, alpha_bar: Any) -> None:
        self.alpha_bar = np.array(alpha_bar, np.float64)
        if self.alpha_bar.ndim != 1 or len(self.alpha_bar) < 2:
            raise ValueError(
                f"NoiseSchedule: expected `alpha_bar` (T + 1,), for t from 0 to T ≥ 1,"
                f" got shape {self.alpha_bar.shape}"
            )
        if (
            self.alpha_bar[0] != 1
            or not self.alpha_bar[-1] > 0
            or not (np.diff(self.alpha_bar) < 0).all()
        ):
            raise ValueError(
                "NoiseSchedule: expected `alpha_bar` to fall at each step, from 1 at "
                "t = 0 to a number > 0"
            )
        self.T = len(self.alpha_bar) - 1
        self._log = np.log(self.alpha_bar)

    def __repr__(self) -> str:
        return f"NoiseSchedule(T={self.T}, ᾱ_T={self.alpha_bar[-1]:.2g})"

    # --- its clocks ---

    def log_alpha_bar(self, t: Any) -> Any:
        """log ᾱ_t: a float for one t, an array for an array"""
        found = np.asarray(t, np.float64)
        if not ((found >= 0) & (found <= self.T)).all():
            raise ValueError(f"NoiseSchedule: expected `t` from 0 to {self.T}, got {t}")
        found = np.interp(found, np.arange(self.T + 1), self._log)
        return found if found.ndim else float(found)

    def scales(self, t: Any) -> tuple[Any, Any]:
        """√ᾱ_t and √(1−ᾱ_t), how much there is of the image and of the noise"""
        return _signal_and_noise(self.log_alpha_bar(t))

    def snr(self, t: Any) -> Any:
        """ᾱ_t / (1−ᾱ_t), the ratio of their variances; t > 0"""
        return 1 / np.expm1(-self.log_alpha_bar(t))

    def sigma(self, t: Any) -> Any:
        """σ = √(1−ᾱ_t) / √ᾱ_t"""
        return np.sqrt(np.expm1(-self.log_alpha_bar(t)))

    def time(self, sigma: float) -> float:
        """The t, mostly no whole number, at which the noise is σ: log ᾱ_t = −log(1 + σ²)"""
        most = float(self.sigma(self.T))
        if not 0 <= sigma <= most * (1 + 1e-9):
            raise ValueError(
                f"NoiseSchedule: expected `sigma` from 0 to {most:.4g}, at t = "
                f"{self.T}, got {sigma:.4g}"
            )
        return float(np.interp(math.log1p(sigma * sigma), -self._log, np.arange(self.T + 1)))

    def times(self, steps: int | None = None, start: int | None = None) -> list[int]:
        """`steps` + 1 whole numbers from `start`, else T, down to 0, as even as can be"""
        start = self.T if start is None else start
        whole("times", 1, start=start, steps=1 if steps is None else steps)
        steps = start if steps is None else steps
        if not steps <= start <= self.T:
            raise ValueError(
                f"times: expected `steps` ≤ `start` ≤ {self.T}, got {steps} and {start}"
            )
        return [round(t) for t in np.linspace(start, 0, steps + 1).tolist()]

    # --- its distributions ---

    def q_sample(self, x_s: Any, t: Any, eps: Any, s: Any = 0) -> Any:
        """x_t = √(ᾱ_t/ᾱ_s) x_s + √(1 − ᾱ_t/ᾱ_s) ε, a draw from q(x_t|x_s) (eq. 2, and 4 for s = 0)

        x_s may be Tensors or arrays.
        """
        kept, added = _signal_and_noise(self.log_alpha_bar(t) - self.log_alpha_bar(s))
        return x_s * beside(kept, x_s) + eps * beside(added, x_s)

    def posterior(self, x_0: Any, x_t: Any, t: Any, s: Any = None) -> tuple[Any, Any]:
        """The mean μ̃ and the variance β̃ of q(x_s|x_t, x_0), s < t, else t − 1 (eq. 6, 7)

        With β = 1 − ᾱ_t/ᾱ_s,  μ̃ = √ᾱ_s β/(1−ᾱ_t) x_0 + √(ᾱ_t/ᾱ_s) (1−ᾱ_s)/(1−ᾱ_t) x_t  and
        β̃ = β (1−ᾱ_s)/(1−ᾱ_t). At s = 0 that is x_0, and no variance.
        """
        s = t - 1 if s is None else s
        at_t, at_s = self.log_alpha_bar(t), self.log_alpha_bar(s)
        beta, var_s, var_t = (-np.expm1(log) for log in (at_t - at_s, at_s, at_t))
        mean = x_0 * beside(np.exp(at_s / 2) * beta / var_t, x_t) + x_t * beside(
            np.exp((at_t - at_s) / 2) * var_s / var_t, x_t
        )
        return mean, beside(beta * var_s / var_t, x_t)


def _signal_and_noise(log_alpha_bar: Any) -> tuple[Any, Any]:
    return np.exp(log_alpha_bar / 2), np.sqrt(-np.expm1(log_alpha_bar))


def beside(values: Any, x: Any) -> Any:
    """One number for all of x as a float; one for each of its rows as an array, (N, 1, …)"""
    values = np.asarray(values)
    if not values.ndim:
        return float(values)  # no NumPy scalar: float32 stays float32
    return xp.asarray(values.reshape(-1, *[1] * (x.ndim - 1)), x.dtype)
