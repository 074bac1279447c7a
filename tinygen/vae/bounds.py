r"""Variational autoencoders: latent-variable models of images, trained by a bound on log p(x).

The model generates x from a latent z ~ N(0, I) by p(x|z), whose parameters a *decoder* network
computes from z. The integral p(x) = ∫ p(x|z) p(z) dz is intractable, but any q(z|x) gives a lower
bound. Here q is a Gaussian N(μ, diag σ²) whose parameters an *encoder* network computes from x:

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))                                        the ELBO

Both networks are trained to raise the bound. (Kingma and Welling 2014; Rezende et al. 2014)

Notation: N images x, D latent units, k samples of z; mu and log_var are μ and log σ² (N, D). Terms
are sums over pixels and units but means over images, in nats per image; averaging over pixels too
would break the bound. Reading order: the terms, to `Gaussian`; `elbo` and `iwae`; `train`.
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
    """z = μ + σ ⊙ ε with ε ~ N(0, I): a differentiable sample of N(μ, σ²) (eq. 10)"""
    mu, log_var, eps = _units("reparameterise", mu, log_var, eps)
    z = mu + exp(0.5 * log_var) * eps
    if z.shape != eps.shape:  # broadcasting would share noise
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
    """As Tensors of equally many units, on the last axis: (N, 1) would broadcast to (N, D)"""
    tensors = as_alike(owner, *xs)
    shapes = [x.shape for x in tensors]
    if len({shape[-1:] for shape in shapes} - {()}) > 1:  # scalars may broadcast
        raise ValueError(f"{owner}: expected equal last axes, got shapes {shapes}")
    return tensors


class Bernoulli:
    """p(x|z): independent pixels, white with probability σ(l). The decoder's output l is a logit.

    For grey values x in [0, 1], `log_prob` is its mean over random binarisations, P(white) = x.
    """

    def log_prob(self, x: ArrayLike, decoded: Tensor) -> Tensor:
        """log p(x|z) = Σ x log σ(l) + (1 − x) log σ(−l) = Σ x l − log(1 + eˡ) for each image"""
        x, l = _pixels(x, decoded)
        return (x * l - softplus(l)).sum(axis=1)

    def mean(self, decoded: Tensor) -> Tensor:
        return sigmoid(decoded)


class Gaussian(Module):
    """p(x|z): independent pixels N(x; m, σ²). The decoder's output is m; σ is fixed or learned

    All pixels share one σ. If learned, it starts at `sigma` and converges to the RMS error of the
    reconstruction, which balances the two terms of the bound (Rybkin et al. 2021).
    """

    def __init__(self, sigma: float = 1.0, *, learned: bool = False) -> None:
        expect("Gaussian", "> 0", sigma=sigma)
        self.log_var = Tensor(np.float32(2 * math.log(sigma)), requires_grad=learned)

    def log_prob(self, x: ArrayLike, decoded: Tensor) -> Tensor:
        """log p(x|z) = −½ Σ (log 2π + log σ² + (x − m)² / σ²) for each image"""
        x, m = _pixels(x, decoded)
        return log_normal(x, m, self.log_var)

    def mean(self, decoded: Tensor) -> Tensor:
        return decoded


def _pixels(x: ArrayLike, decoded: Tensor) -> list[Tensor]:
    """Both as (N, pixels), checked: bytes or broadcasting would give a wrong loss silently."""
    (images, _), dtype = as_alike("VAE", x, decoded), as_tensor(x).dtype
    if dtype.kind in "iu" or images.shape != decoded.shape:
        raise ValueError(f"VAE: expected float images {decoded.shape}, got {dtype} {images.shape}")
    return [y.reshape(len(y), -1) for y in (images, decoded)]


class Bound(NamedTuple):
    """The `loss` to minimise and its parts: means over the images, in nats."""

    loss: Tensor
    reconstruction: Tensor  # −E_q[log p(x|z)]
    kl: Tensor  # KL(q(z|x) ‖ p(z))


Loss: TypeAlias = Callable[..., Bound]  # called like `elbo`: (model, x, labels, rng=rng)


def elbo(
    model: VAE, x: Any, labels: Any = None, *, rng: Rng, beta: float = 1.0, free_bits: float = 0.0
) -> Bound:
    """−ELBO = −E_q[log p(x|z)] + β KL(q(z|x) ‖ p(z)), with one z ~ q for each x (eq. 7)

    β > 1 gives a simpler code but blurrier images (Higgins et al. 2017). `free_bits` λ counts each
    unit's mean KL as max(λ, KL_d): using a unit is free up to λ nats, which keeps it from being
    ignored (Kingma et al. 2016, eq. 15). `kl` is always the true KL.
    """
    expect("elbo", "≥ 0", beta=beta, free_bits=free_bits)
    mu, log_var = model.encode(x, labels)
    z = reparameterise(mu, log_var, _noise(rng, mu.shape, mu.dtype))
    reconstruction = -model.likelihood.log_prob(x, model.decode(z, labels)).mean()
    unit = gaussian_kl(mu, log_var).mean(axis=0)  # (D,)
    kl = unit.sum()
    penalty = maximum(unit, free_bits).sum() if free_bits else kl
    return Bound(reconstruction + beta * penalty, reconstruction, kl)


def iwae(model: VAE, x: Any, labels: Any = None, *, k: int, rng: Rng) -> Bound:
    """−L_k = −E[log 1/k Σ wᵢ]: the bound L_k rises to log p(x) with k, and L_1 is the ELBO

    (Burda et al. 2016, eq. 8.) The gradient of L_k is Σ w̃ᵢ ∇log wᵢ with w̃ = w / Σ w (eq. 14), as
    the vjp of logsumexp is a softmax. L_k is not the mean of k ELBOs.
    """
    log_w, given_z, kl = log_weights(model, x, labels, k=k, rng=rng)
    loss = math.log(k) - logsumexp(log_w, axis=0).mean()
    return Bound(loss, -given_z.mean(), kl.sum(axis=1).mean())


def log_weights(
    model: VAE, x: Any, labels: Any = None, *, k: int, rng: Rng
) -> tuple[Tensor, Tensor, Tensor]:
    """log w = log p(x|z) + log p(z) − log q(z|x) for k samples of z per image: (k, N)

    E_q[w] = p(x), and the closer q is to p(z|x), the less w varies. Also returns log p(x|z),
    (k, N), and the KL of each unit, (N, D).
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
    """Algorithm 1: one gradient step on the bound per batch; yields the bound's terms.

    For another objective pass another `bound`: `partial(elbo, beta=4)`, `partial(iwae, k=5)`.
    Batches are images, or (images, labels); an unconditional model ignores the labels.
    """
    for batch in batches:
        terms = bound(model, *with_labels(batch), rng=rng)
        optimizer.step(grad(terms.loss, optimizer.params))
        yield terms._asdict()
