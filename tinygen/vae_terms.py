r"""What a VAE's bound is made of: a draw that can be differentiated, a KL, and p(x|z) for pixels.

Notation: N images x, D latent units; mu and log_var are μ and log σ² (N, D). The KL is given unit
by unit, log p(x|z) as a sum over the pixels of each image: (N,). Both are in nats.

Reading order: of Gaussians in z; of pixels, `Bernoulli` and `Gaussian`; what they are given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen.checks import number
from tinygen.module import Module
from tinygen.ops import exp, sigmoid, softplus
from tinygen.tensor import Tensor, as_alike, as_tensor
from tinygen.tensor import sum as sum_over

__all__ = ["Bernoulli", "Gaussian", "gaussian_kl", "log_normal", "reparameterise"]


def reparameterise(mu: Any, log_var: Any, eps: Any) -> Tensor:
    """z = μ + σ ⊙ ε with ε ~ N(0, I): a draw from N(μ, σ²) through which gradients flow (eq. 10)"""
    _check_draws(eps, mu=mu, log_var=log_var)
    z: Tensor = as_tensor(mu) + exp(as_tensor(log_var) * 0.5) * eps
    return z


def gaussian_kl(mu: Any, log_var: Any) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²) of each unit: (N, D)  (appendix B)"""
    _check_units("gaussian_kl", mu, log_var)
    mu, log_var = as_tensor(mu), as_tensor(log_var)
    kl: Tensor = 0.5 * (mu * mu + exp(log_var) - 1 - log_var)
    return kl


def log_normal(z: Any, mu: Any = 0.0, log_var: Any = 0.0) -> Tensor:
    """log N(z; μ, diag σ²) = −½ Σ (log 2π + log σ² + (z − μ)² / σ²), over the last axis"""
    _check_units("log_normal", z, mu, log_var)
    z, mu, log_var = as_alike("log_normal", z, mu, log_var)
    d = z - mu
    return -0.5 * sum_over(math.log(2 * math.pi) + log_var + d * d * exp(-log_var), axis=-1)


class Bernoulli:
    """p(x|z): pixel by pixel, white with probability σ(l). The decoder's output l is a logit.

    Grey values from 0 to 1 are taken as they are, as is common: then this is no probability of
    theirs, but of images that are drawn with them as probabilities, in expectation.
    """

    def log_prob(self, x: Any, decoded: Tensor) -> Tensor:
        """log p(x|z) = Σ x log σ(l) + (1 − x) log σ(−l) = Σ x l − log(1 + eˡ): of each image"""
        _check_images(x, decoded)
        return _sum_of_image(x * decoded - softplus(decoded))

    def mean(self, decoded: Tensor) -> Tensor:
        return sigmoid(decoded)


class Gaussian(Module):
    """p(x|z): pixel by pixel N(x; m, σ²). The decoder's output is m; σ is given, or learned

    One σ for all pixels. To learn it, start from `sigma` with `learned=True`: its best value is
    the root mean square error of the reconstruction, and the two terms of the bound find their
    balance by themselves (Rybkin et al. 2021). With a fixed σ, β = σ² says the same in other words.
    """

    def __init__(self, sigma: float = 1.0, *, learned: bool = False) -> None:
        sigma = number("Gaussian: expected `sigma` > 0", sigma, lambda s: s > 0)
        start = np.asarray(2 * math.log(sigma), np.float32)
        self.log_var = Tensor(start, requires_grad=learned)

    def log_prob(self, x: Any, decoded: Tensor) -> Tensor:
        """log p(x|z) = −½ Σ (log 2π + log σ² + (x − m)² / σ²): of each image"""
        _check_images(x, decoded)
        d = decoded - x
        each = math.log(2 * math.pi) + self.log_var + d * d * exp(-self.log_var)
        return -0.5 * _sum_of_image(each)

    def mean(self, decoded: Tensor) -> Tensor:
        return decoded


def checked_likelihood(owner: str, likelihood: Any) -> Any:
    """`Bernoulli()`, unless it is another object that has `log_prob`: no class, and no name."""
    likelihood = Bernoulli() if likelihood is None else likelihood
    if isinstance(likelihood, type) or not hasattr(likelihood, "log_prob"):
        raise TypeError(f"{owner}: expected `likelihood` to be an object such as Bernoulli(), got "
                        f"{likelihood!r}")  # fmt: skip
    return likelihood


def _check_draws(eps: Any, **given: Any) -> None:
    """A draw that broadcasts would be shared by units, or by rows."""
    for name, x in given.items():
        if np.shape(eps)[np.ndim(eps) - np.ndim(x) :] != np.shape(x):
            raise ValueError(f"reparameterise: expected the shape of `eps` to end in that of "
                             f"`{name}`, {np.shape(x)}, got {np.shape(eps)}")  # fmt: skip


def _check_units(owner: str, *xs: Any) -> None:
    """One unit that broadcasts, (N, 1) beside (N, D), would give numbers too; a scalar may."""
    if len({np.shape(x)[-1:] for x in xs} - {()}) > 1:
        raise ValueError(f"{owner}: expected as many units, on the last axis, in each, got "
                         + " and ".join(str(np.shape(x)) for x in xs))  # fmt: skip


def _check_images(x: Any, decoded: Tensor) -> None:
    """Bytes would give a loss too, and shapes that merely broadcast, (N, 1) and (N, 784) say."""
    dtype = as_tensor(x).dtype
    if dtype.kind in "iu":
        raise TypeError(f"VAE: expected images in floating point, got {dtype}; divide bytes by 255")
    if np.shape(x)[:1] == (0,):
        raise ValueError(f"VAE: expected at least one image, got shape {np.shape(x)}")
    if decoded.shape != np.shape(x):
        raise ValueError(f"VAE: expected the decoder to give {np.shape(x)}, as the images are, got "
                         f"{decoded.shape}")  # fmt: skip


def _sum_of_image(x: Tensor) -> Tensor:
    """Over all axes but the first: (N, …) → (N,)"""
    return sum_over(x, axis=tuple(range(1, x.ndim)))
