r"""What a VAE's bound is made of: a draw that can be differentiated, a KL, and p(x|z) for pixels.

Notation: N images x, D latent units; mu and log_var are μ and log σ² (N, D). The KL is given unit
by unit, log p(x|z) as a sum over the pixels of each image: (N,). Both are in nats.

Reading order: of Gaussians in z; of pixels, `Bernoulli` and `Gaussian`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen.module import Module
from tinygen.ops import exp, sigmoid, softplus
from tinygen.tensor import Tensor, as_alike, as_tensor
from tinygen.tensor import sum as sum_over

__all__ = ["Bernoulli", "Gaussian", "gaussian_kl", "log_normal", "reparameterise"]


def reparameterise(mu: Any, log_var: Any, eps: Any) -> Tensor:
    """z = μ + σ ⊙ ε with ε ~ N(0, I): a draw from N(μ, σ²) through which gradients flow (eq. 10)"""
    z: Tensor = as_tensor(mu) + exp(as_tensor(log_var) * 0.5) * eps
    return z


def gaussian_kl(mu: Any, log_var: Any) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²) of each unit: (N, D)  (appendix B)"""
    mu, log_var = as_tensor(mu), as_tensor(log_var)
    kl: Tensor = 0.5 * (mu * mu + exp(log_var) - 1 - log_var)
    return kl


def log_normal(z: Any, mu: Any = 0.0, log_var: Any = 0.0) -> Tensor:
    """log N(z; μ, diag σ²) = −½ Σ (log 2π + log σ² + (z − μ)² / σ²), over the last axis"""
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
        check_shape(x, decoded)
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
        if not 0 < sigma < math.inf:
            raise ValueError(f"Gaussian: expected `sigma` > 0, got {sigma!r}")
        start = np.asarray(2 * math.log(sigma), np.float32)
        self.log_var = Tensor(start, requires_grad=learned)

    def log_prob(self, x: Any, decoded: Tensor) -> Tensor:
        """log p(x|z) = −½ Σ (log 2π + log σ² + (x − m)² / σ²): of each image"""
        check_shape(x, decoded)
        d = decoded - x
        each = math.log(2 * math.pi) + self.log_var + d * d * exp(-self.log_var)
        return -0.5 * _sum_of_image(each)

    def mean(self, decoded: Tensor) -> Tensor:
        return decoded


def check_shape(x: Any, decoded: Tensor) -> None:
    """Shapes that merely broadcast, (N, 1) and (N, 784) say, would give a loss, of other pixels."""
    if decoded.shape != np.shape(x):
        raise ValueError(f"VAE: expected the decoder to give {np.shape(x)}, as the images are, got "
                         f"{decoded.shape}")  # fmt: skip


def _sum_of_image(x: Tensor) -> Tensor:
    """Over all axes but the first: (N, …) → (N,)"""
    return sum_over(x, axis=tuple(range(1, x.ndim)))
