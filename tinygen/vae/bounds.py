r"""Variational autoencoders: a model of images with hidden causes, and a bound to train it by.

An image x is thought to arise from a hidden z ~ N(0, I) by p(x|z), whose parameters a *decoder*
network computes from z. Then p(x) = ∫ p(x|z) p(z) dz can't be computed, but a bound can, with any
q(z|x), here a Gaussian N(μ, diag σ²) whose parameters an *encoder* network computes from x:

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))                                        the ELBO

Train both networks to raise it. (Kingma and Welling 2014; Rezende et al. 2014)

Notation: N images x, D latent units, k draws of z; mu and log_var are μ and log σ² (N, D). Terms
are sums over pixels and units, and means over images only, or it would be no bound: nats per image.
Reading order: the terms, to `Gaussian`; the bounds, `elbo` and `iwae`; `train`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tinygen._batch import as_rows, host, with_labels
from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng, Shape
from tinygen.autograd import broadcast_to, exp, grad, logsumexp, maximum, sigmoid, softplus, xp
from tinygen.autograd.tensor import Tensor, as_alike, as_tensor
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


def reparameterise(mu: ArrayLike, log_var: ArrayLike, eps: ArrayLike) -> Tensor:
    """z = μ + σ ⊙ ε with ε ~ N(0, I): a draw from N(μ, σ²) through which gradients flow (eq. 10)"""
    mu, log_var, eps = _units("reparameterise", mu, log_var, eps)
    z = mu + exp(0.5 * log_var) * eps
    if z.shape != eps.shape:  # units or rows would share a draw
        raise ValueError(f"reparameterise: expected `eps` of shape {z.shape}, got {eps.shape}")
    return z


def gaussian_kl(mu: ArrayLike, log_var: ArrayLike) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²) of each unit: (N, D)  (appendix B)"""
    mu, log_var = _units("gaussian_kl", mu, log_var)
    return 0.5 * (mu * mu + exp(log_var) - 1 - log_var)


def log_normal(z: ArrayLike, mu: ArrayLike = 0.0, log_var: ArrayLike = 0.0) -> Tensor:
    """log N(z; μ, diag σ²) = −½ Σ (log 2π + log σ² + (z − μ)² / σ²), over the last axis"""
    z, mu, log_var = _units("log_normal", z, mu, log_var)
    d = z - mu
    return -0.5 * (math.log(2 * math.pi) + log_var + d * d * exp(-log_var)).sum(axis=-1)


def _units(owner: str, *xs: ArrayLike) -> list[Tensor]:
    """As Tensors with as many units, on the last axis, in each: (N, 1) would broadcast to (N, D)"""
    tensors = as_alike(owner, *xs)
    shapes = [x.shape for x in tensors]
    if len({shape[-1:] for shape in shapes} - {()}) > 1:  # a scalar may
        raise ValueError(f"{owner}: expected as many units in each, got {shapes}")
    return tensors


class Bernoulli:
    """p(x|z): pixel by pixel, white with probability σ(l). The decoder's output l is a logit.

    Of grey values from 0 to 1 it gives the expected log-probability of black-and-white images
    drawn with them as probabilities.
    """

    def log_prob(self, x: ArrayLike, decoded: Tensor) -> Tensor:
        """log p(x|z) = Σ x log σ(l) + (1 − x) log σ(−l) = Σ x l − log(1 + eˡ): of each image"""
        x, l = _pixels(x, decoded)
        return (x * l - softplus(l)).sum(axis=1)

    def mean(self, decoded: Tensor) -> Tensor:
        return sigmoid(decoded)


class Gaussian(Module):
    """p(x|z): pixel by pixel N(x; m, σ²). The decoder's output is m; σ is given, or learned

    One σ for all pixels. A learned one, which starts from `sigma`, ends at the root mean square
    error of the reconstruction, and so balances the two terms of the bound (Rybkin et al. 2021).
    """

    def __init__(self, sigma: float = 1.0, *, learned: bool = False) -> None:
        expect("Gaussian", "> 0", sigma=sigma)
        self.log_var = Tensor(np.float32(2 * math.log(sigma)), requires_grad=learned)

    def log_prob(self, x: ArrayLike, decoded: Tensor) -> Tensor:
        """log p(x|z) = −½ Σ (log 2π + log σ² + (x − m)² / σ²): of each image"""
        x, m = _pixels(x, decoded)
        return log_normal(x, m, self.log_var)

    def mean(self, decoded: Tensor) -> Tensor:
        return decoded


def _pixels(x: ArrayLike, decoded: Tensor) -> list[Tensor]:
    """Both as (N, pixels). Bytes, or (1, 784) beside (1, 28, 28, 1), would give a loss too."""
    (images, _), dtype = as_alike("VAE", x, decoded), as_tensor(x).dtype
    if dtype.kind in "iu" or images.shape != decoded.shape:
        raise ValueError(f"VAE: expected float images {decoded.shape}, got {dtype} {images.shape}")
    return [y.reshape(len(y), -1) for y in (images, decoded)]


class Bound(NamedTuple):
    """`loss`, to be minimised, and its parts, as means over the images in nats."""

    loss: Tensor
    reconstruction: Tensor  # −E_q[log p(x|z)]
    kl: Tensor  # KL(q(z|x) ‖ p(z))


Loss: TypeAlias = Callable[..., Bound]  # of (model, x, labels, rng=rng), as `elbo` is


def elbo(
    model: VAE, x: Any, labels: Any = None, *, rng: Rng, beta: float = 1.0, free_bits: float = 0.0
) -> Bound:
    """−ELBO = −E_q[log p(x|z)] + β KL(q(z|x) ‖ p(z)), with one z ~ q for each x (eq. 7)

    β above 1 buys a simpler code with blurred images (Higgins et al. 2017). With `free_bits` λ a
    unit's mean KL costs nothing below λ nats, max(λ, KL_d), so that it pays to keep it alive
    (Kingma et al. 2016, eq. 15). Either way `kl` is the true one.
    """
    expect("elbo", "≥ 0", beta=beta, free_bits=free_bits)
    mu, log_var = model.encode(x, labels)
    z = reparameterise(mu, log_var, _noise(rng, mu.shape, mu.dtype))
    reconstruction = -model.likelihood.log_prob(x, model.decode(z, labels)).mean()
    unit = gaussian_kl(mu, log_var).mean(axis=0)  # (D,)
    kl = unit.sum()
    paid = maximum(unit, free_bits).sum() if free_bits else kl
    return Bound(reconstruction + beta * paid, reconstruction, kl)


def iwae(model: VAE, x: Any, labels: Any = None, *, k: int, rng: Rng) -> Bound:
    """−L_k = −E[log 1/k Σ wᵢ], a bound that rises to log p(x) with k; k = 1 is the ELBO

    (Burda et al. 2016, eq. 8.) Its gradient is Σ w̃ᵢ ∇log wᵢ with w̃ = w / Σ w (eq. 14), which is
    what logsumexp's vjp, a softmax, gives without further ado. It is not the mean of k ELBOs.
    """
    log_w, given_z, kl = log_weights(model, x, labels, k=k, rng=rng)
    loss = math.log(k) - logsumexp(log_w, axis=0).mean()
    return Bound(loss, -given_z.mean(), kl.sum(axis=1).mean())


def log_weights(
    model: VAE, x: Any, labels: Any = None, *, k: int, rng: Rng
) -> tuple[Tensor, Tensor, Tensor]:
    """log w = log p(x|z) + log p(z) − log q(z|x) for k draws of z for each image: (k, N)

    E_q[w] = p(x), and the closer q is to p(z|x) the more alike are the weights. With them come
    log p(x|z), (k, N), and the KL of each unit, (N, D).
    """
    whole("log_weights", 1, k=k)
    x = as_rows(x)
    mu, log_var = model.encode(x, labels)
    z = reparameterise(mu, log_var, _noise(rng, (k, *mu.shape), mu.dtype))  # (k, N, D)
    repeated = np.tile(host(labels), k) if model.classes else None
    copies = broadcast_to(x, (k, *x.shape)).reshape(-1, *x.shape[1:])  # (k N, …)
    decoded = model.decode(z.reshape(-1, model.latent), repeated)
    given_z = model.likelihood.log_prob(copies, decoded).reshape(k, -1)
    return given_z + log_normal(z) - log_normal(z, mu, log_var), given_z, gaussian_kl(mu, log_var)


def _noise(rng: Rng, shape: Shape, dtype: np.dtype[Any]) -> Array:
    return xp.asarray(generator("vae", rng).standard_normal(shape, np.float32), dtype)


def train(
    model: VAE, batches: Iterable[Any], optimizer: Optimizer, *, rng: Rng, bound: Loss = elbo
) -> Iterator[dict[str, Tensor]]:
    """Algorithm 1: a batch, noise, the bound, its gradient, a step; yields the bound's terms.

    Another objective is another `bound`: `partial(elbo, beta=4)`, `partial(iwae, k=5)`. A batch is
    of images, or of images and labels, which a model that is not conditional does not look at.
    """
    for batch in batches:
        terms = bound(model, *with_labels(batch), rng=rng)
        optimizer.step(grad(terms.loss, optimizer.params))
        yield terms._asdict()
