"""Vector-quantised autoencoders: autoencoders with a discrete latent code.

The encoder outputs a small grid of vectors, (N, h, w, D). Each is replaced by the nearest of K
vectors, the *codebook*, so that an image becomes h × w ints. (van den Oord et al. 2017)

The choice has no gradient, so the encoder receives the decoder's gradient unchanged
("straight-through"). Two losses pull each code and the vectors that chose it towards each other.

Notation: vectors z_e before and z_q after quantisation, the codebook e (K, D), sg[·] is `detach`.
Reading order: `VectorQuantiser`; `VQVAE`; `vq_loss`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygen._batch import as_rows, host
from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, xp
from tinygen.autograd.parallel import product
from tinygen.nn import Module, evaluating
from tinygen.vae.bounds import Bernoulli

__all__ = ["VQVAE", "Quantised", "VQLoss", "VectorQuantiser", "vq_loss"]

SCARCE = 1e-5  # vectors per step


class Quantised(NamedTuple):
    """The quantised vectors z_q = e_k, their codes k, and the two losses that move e and z_e."""

    z: Tensor  # z_q, whose gradient passes unchanged to z_e
    codes: Array  # k for each vector, (N, h, w)
    codebook: Tensor  # ‖sg[z_e] − e‖², summed over an image, averaged over images
    commitment: Tensor  # ‖z_e − sg[e]‖², likewise


class VectorQuantiser(Module):
    """z_q = e_k with k = argmin ‖z_e − e_k‖ (eq. 1 and 2), for vectors on the last axis

    The codebook is trained by its loss. With `decay` γ it is not a parameter; each code is then a
    running mean of the vectors that chose it (appendix A.1), as in minibatch k-means.
    """

    def __init__(self, codes: int, features: int, *, rng: Rng, decay: float | None = None) -> None:
        whole("VectorQuantiser", 1, codes=codes, features=features)
        expect("VectorQuantiser", "in (0, 1)", decay=0.99 if decay is None else decay)
        e = generator("VectorQuantiser", rng).standard_normal((codes, features), np.float32)
        self.e, self.decay = Tensor(e, requires_grad=decay is None), decay
        # running means, for each code, of the count and the sum of the vectors that chose it; they
        # start as if one vector, equal to the code, had chosen it: after t steps its weight is γᵗ
        self.chosen, self.total = xp.ones(codes, "f4"), xp.array(self.e.data)
        self.left = xp.ones(1, "f4")  # γᵗ

    def nearest(self, z: ArrayLike) -> Array:
        """argmin ‖z − e_k‖² = argmin ‖e_k‖² − 2 z · e_k, both minus the mean code: less rounding"""
        vectors, mean = as_tensor(z).data, self.e.data.mean(axis=0)
        e = self.e.data - mean
        distances = (e * e).sum(axis=1) - 2 * product(_rows(vectors) - mean, e.T)
        return distances.argmin(axis=1).reshape(vectors.shape[:-1])

    def forward(self, z: ArrayLike) -> Quantised:
        z = as_tensor(z)
        codes = self.nearest(z)
        e = self.e[codes]
        if self.training:
            self._count(z.data, codes)
        codebook, commitment = _squares(z.detach() - e), _squares(z - e.detach())
        return Quantised(z + (e - z).detach(), codes, codebook, commitment)

    def _count(self, z: Array, codes: Array) -> None:
        """N ← γ N + (1 − γ) n,  m ← γ m + (1 − γ) Σ z,  e = m / N  (eq. 6 to 8)"""
        decay = self.decay or 0.99
        one_hot = (codes.reshape(-1, 1) == xp.arange(len(self.chosen))).astype(z.dtype)
        self.left = decay * self.left
        self.chosen = decay * self.chosen + (1 - decay) * one_hot.sum(axis=0)
        if self.decay is not None:
            self.total = decay * self.total + (1 - decay) * product(one_hot.T, _rows(z))
            n = self.chosen[:, None]  # for scarce codes rounding would spoil m / N: keep e
            self.e.data = xp.where(n > SCARCE, self.total / xp.maximum(n, SCARCE), self.e.data)

    def restart(self, z: ArrayLike, *, rng: Rng, below: float = 0.03) -> int:
        """Move each code that fewer than `below` vectors per step chose to a random vector of z

        Unused codes are never updated, so they would stay unused. Returns the number moved.
        """
        chosen, left = host(self.chosen), float(host(self.left)[0])
        used = (chosen - left) / (1 - left) if left < 1 else chosen
        dead, rows = xp.asarray(np.flatnonzero(used < below)), _rows(as_tensor(z).data)
        new = rows[xp.asarray(generator("restart", rng).integers(len(rows), size=len(dead)))]
        e, self.chosen, self.total = (xp.array(a) for a in (self.e.data, self.chosen, self.total))
        e[dead], self.chosen[dead], self.total[dead] = new, 1, new
        self.e.data = e
        return len(dead)


def _rows(z: Array) -> Array:
    """All vectors in z: (n, D)"""
    return z.reshape(-1, z.shape[-1])


def _squares(d: Tensor) -> Tensor:
    """Σ d² over each image, averaged over images"""
    return (d * d).sum() / d.shape[0]


class VQVAE(Module):
    """Encoder (N, H, W, C) → (N, h, w, D), codebook, decoder (N, h, w, D) → (N, H, W, C)."""

    classes = 0  # it is not conditional

    def __init__(
        self, encoder: Module, quantiser: VectorQuantiser, decoder: Module, likelihood: Any = None
    ) -> None:
        self.encoder, self.quantiser, self.decoder = encoder, quantiser, decoder
        self.likelihood = likelihood or Bernoulli()

    def codes(self, x: ArrayLike) -> Array:
        """The images as codes from 0 to K − 1: (N, h, w)"""
        with evaluating(self):
            return self.quantiser.nearest(self.encoder(x))

    def images(self, codes: ArrayLike) -> Array:
        """The mean images of these codes."""
        k, K = as_rows(codes).data, len(self.quantiser.e)
        if k.size and not 0 <= k.min() <= k.max() < K:  # −1 would index the last code
            raise IndexError(f"VQVAE: expected 0 ≤ code < {K}, got {k.min()} to {k.max()}")
        with evaluating(self):
            return host(self.likelihood.mean(self.decoder(self.quantiser.e[k])))


class VQLoss(NamedTuple):
    """`loss` = `reconstruction` + `codebook` + β `commitment`, in nats per image.

    `perplexity`, exp of the codes' entropy, is the effective number of codes in the batch.
    """

    loss: Tensor
    reconstruction: Tensor
    codebook: Tensor
    commitment: Tensor
    perplexity: float


def vq_loss(
    model: VQVAE, x: Any, labels: Any = None, *, rng: Rng | None = None, beta: float = 0.25
) -> VQLoss:
    """−log p(x|z_q) + ‖sg[z_e] − e‖² + β ‖z_e − sg[e]‖² (eq. 3), for `train` as its `bound`

    `rng` is not used. The KL to a uniform prior is constant, h w log K, and omitted. So is the
    codebook's term if the codebook is a running mean.
    """
    expect("vq_loss", "≥ 0", beta=beta)
    z, codes, codebook, commitment = model.quantiser(model.encoder(x))
    reconstruction = -model.likelihood.log_prob(x, model.decoder(z)).mean()
    loss = reconstruction + beta * commitment
    if model.quantiser.decay is None:
        loss = loss + codebook
    counts = np.bincount(host(codes).ravel())
    p = counts[counts > 0] / counts.sum()
    perplexity = float(np.exp(-(p * np.log(p)).sum()))
    return VQLoss(loss, reconstruction, codebook, commitment, perplexity)
