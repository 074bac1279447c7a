r"""Variational autoencoders: a model of images with hidden causes, and a bound to train it by.

An image x is thought to arise from a hidden z ~ N(0, I) by p(x|z), whose parameters a network, the
*decoder*, computes from z. The probability of an image, p(x) = ∫ p(x|z) p(z) dz, can't be computed.
But with any distribution q(z|x), here a Gaussian N(μ, diag σ²) whose parameters a second network,
the *encoder*, computes from x,

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))                                        the ELBO

and both terms can be computed and differentiated. Train both networks to raise it. (Kingma and
Welling 2014; Rezende et al. 2014)

Notation: N images x, D latent units, k draws of z; mu and log_var are μ and log σ² (N, D). Terms
are sums over pixels and over units, and means over images only: nats per image. Averaged over
pixels the first term would weigh 784 times less, and it would not be a bound.

Reading order: the terms, from `reparameterise` to `Gaussian`; the bounds, `elbo` and `iwae`;
`train`. model.py puts encoder and decoder together, evaluation.py measures a trained model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygen._batch import as_rows, halves
from tinygen._checks import number, whole
from tinygen._random import generator
from tinygen._types import Rng
from tinygen.autograd import (
    Tensor,
    as_tensor,
    broadcast_to,
    exp,
    grad,
    logsumexp,
    maximum,
    mean,
    reshape,
    sigmoid,
    softplus,
    xp,
)
from tinygen.autograd import sum as sum_over
from tinygen.autograd.tensor import as_alike
from tinygen.nn import Module
from tinygen.optim import Optimizer

if TYPE_CHECKING:
    from tinygen.vae.model import VAE

__all__ = [
    "Bernoulli",
    "Bound",
    "Gaussian",
    "elbo",
    "gaussian_kl",
    "iwae",
    "log_normal",
    "log_weights",
    "reparameterise",
    "train",
]


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
        raise TypeError(
            f"{owner}: expected `likelihood` to be an object such as Bernoulli(), got "
            f"{likelihood!r}"
        )
    return likelihood


def _check_draws(eps: Any, **given: Any) -> None:
    """A draw that broadcasts would be shared by units, or by rows."""
    for name, x in given.items():
        if np.shape(eps)[np.ndim(eps) - np.ndim(x) :] != np.shape(x):
            raise ValueError(
                f"reparameterise: expected the shape of `eps` to end in that of "
                f"`{name}`, {np.shape(x)}, got {np.shape(eps)}"
            )


def _check_units(owner: str, *xs: Any) -> None:
    """One unit that broadcasts, (N, 1) beside (N, D), would give numbers too; a scalar may."""
    if len({np.shape(x)[-1:] for x in xs} - {()}) > 1:
        raise ValueError(
            f"{owner}: expected as many units, on the last axis, in each, got "
            + " and ".join(str(np.shape(x)) for x in xs)
        )


def _check_images(x: Any, decoded: Tensor) -> None:
    """Bytes would give a loss too, and shapes that merely broadcast, (N, 1) and (N, 784) say."""
    dtype = as_tensor(x).dtype
    if dtype.kind in "iu":
        raise TypeError(f"VAE: expected images in floating point, got {dtype}; divide bytes by 255")
    if np.shape(x)[:1] == (0,):
        raise ValueError(f"VAE: expected at least one image, got shape {np.shape(x)}")
    if decoded.shape != np.shape(x):
        raise ValueError(
            f"VAE: expected the decoder to give {np.shape(x)}, as the images are, got "
            f"{decoded.shape}"
        )


def _sum_of_image(x: Tensor) -> Tensor:
    """Over all axes but the first: (N, …) → (N,)"""
    return sum_over(x, axis=tuple(range(1, x.ndim)))


# --- the bounds -----------------------------------------------------------------------------------


class Bound(NamedTuple):
    """`loss`, to be minimised, and its parts, as means over the images in nats.

    `loss` = `reconstruction` + `kl`, but for β, free bits and `iwae`.
    """

    loss: Tensor
    reconstruction: Tensor  # −E_q[log p(x|z)]
    kl: Tensor  # KL(q(z|x) ‖ p(z))


def elbo(
    model: VAE, x: Any, labels: Any = None, *, rng: Rng, beta: float = 1.0, free_bits: float = 0.0
) -> Bound:
    """−ELBO = −E_q[log p(x|z)] + β KL(q(z|x) ‖ p(z)), with one z ~ q for each x (eq. 7)

    β above 1 buys a simpler code with blurred images (Higgins et al. 2017). With `free_bits` λ a
    unit's mean KL costs nothing below λ nats, max(λ, KL_d), so that it pays to keep it alive
    (Kingma et al. 2016, eq. 15). Either way `kl` is the true one.
    """
    _not_negative("elbo", beta=beta, free_bits=free_bits)
    mu, log_var = model.encode(x, labels)
    z = reparameterise(mu, log_var, _noise(rng, mu.shape, mu.dtype))
    reconstruction = -mean(model.likelihood.log_prob(x, model.decode(z, labels)))
    unit = mean(gaussian_kl(mu, log_var), axis=0)  # (D,)
    kl = sum_over(unit)
    paid = sum_over(maximum(unit, free_bits)) if free_bits else kl
    return Bound(reconstruction + beta * paid, reconstruction, kl)


def iwae(model: VAE, x: Any, labels: Any = None, *, k: int, rng: Rng) -> Bound:
    """−L_k = −E[log 1/k Σ wᵢ], a bound that rises to log p(x) with k; k = 1 is the ELBO

    (Burda et al. 2016, eq. 8.) Its gradient is Σ w̃ᵢ ∇log wᵢ with w̃ = w / Σ w (eq. 14), which is
    what logsumexp's vjp, a softmax, gives without further ado. It is not the mean of k ELBOs.
    """
    log_w, given_z, kl = log_weights(model, x, labels, k=k, rng=rng)
    loss = math.log(k) - mean(logsumexp(log_w, axis=0))
    return Bound(loss, -mean(given_z), mean(sum_over(kl, axis=1)))


def log_weights(
    model: VAE, x: Any, labels: Any = None, *, k: int, rng: Rng
) -> tuple[Tensor, Tensor, Tensor]:
    """log w = log p(x|z) + log p(z) − log q(z|x) for k draws of z for each image: (k, N)

    E_q[w] = p(x): the mean of the weights estimates it without bias, and the better the closer q
    is to p(z|x), where all weights are equal. With it come log p(x|z), (k, N), and the KL of each
    unit, (N, D).
    """
    whole("log_weights", 1, k=k)
    x = as_rows(x)
    N = x.shape[0]
    mu, log_var = model.encode(x, labels)
    z = reparameterise(mu, log_var, _noise(rng, (k, *mu.shape), mu.dtype))  # (k, N, D)
    copies = reshape(broadcast_to(x, (k, *x.shape)), (k * N, *x.shape[1:]))
    checked = model._checked(labels, x)
    repeated = None if checked is None else np.tile(checked, k)
    decoded = model.decode(reshape(z, (k * N, model.latent)), repeated)
    given_z = reshape(model.likelihood.log_prob(copies, decoded), (k, N))
    return (given_z + log_normal(z) - log_normal(z, mu, log_var), given_z, gaussian_kl(mu, log_var))


def _noise(rng: Rng, shape: tuple[int, ...], dtype: Any) -> Any:
    return xp.asarray(generator("vae", rng).standard_normal(shape, np.float32), dtype)


def _not_negative(owner: str, **weights: float) -> None:
    for name, weight in weights.items():
        number(f"{owner}: expected `{name}` ≥ 0", weight, lambda w: w >= 0)


# --- the training loop ----------------------------------------------------------------------------


def train(
    model: VAE,
    batches: Iterable[Any],
    optimizer: Optimizer,
    *,
    rng: Rng,
    bound: Callable[..., Bound] = elbo,
) -> Iterator[dict[str, Tensor]]:
    """Algorithm 1: a batch, noise, the bound, its gradient, a step; yields the bound's terms.

    Another objective is another `bound`: `partial(elbo, beta=4)`, `partial(iwae, k=5)`. A batch is
    of images, or of images and labels, which a model that is not conditional does not look at.
    """
    for batch in batches:
        x, labels = halves(batch)
        terms = bound(model, x, None if not model.classes else labels, rng=rng)
        optimizer.step(grad(terms.loss, optimizer.params))
        yield terms._asdict()
