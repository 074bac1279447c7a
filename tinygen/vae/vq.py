"""Vector-quantised autoencoders: what is between encoder and decoder is a choice from a list.

The encoder gives a vector at each place of a small image, (N, h, w, D); each is replaced by the
nearest of K vectors, the *codebook*. So an image becomes h × w numbers. (van den Oord et al. 2017)

A choice has no gradient. Instead the encoder gets the decoder's as if nothing had been replaced
("straight through"), and codes and the vectors that chose them are drawn towards each other.

Notation: z_e and z_q are the vectors before and after, e the codebook (K, D), sg[·] is `detach`.
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

SCARCE = 1e-5  # vectors a step


class Quantised(NamedTuple):
    """z_q, e_k for each vector, the number k of each, and the two losses that move e and z_e."""

    z: Tensor  # z_q, through which gradients pass straight to z_e
    codes: Array  # which code each vector chose, (N, h, w)
    codebook: Tensor  # ‖sg[z_e] − e‖², summed over an image, the mean over images
    commitment: Tensor  # ‖z_e − sg[e]‖², likewise


class VectorQuantiser(Module):
    """z_q = e_k with k = argmin ‖z_e − e_k‖ (eq. 1 and 2), for vectors on the last axis

    The codebook learns by its loss; or with `decay` γ it is no parameter, but a running mean of the
    vectors that chose each code (appendix A.1): k-means, a batch at a time.
    """

    def __init__(self, codes: int, features: int, *, rng: Rng, decay: float | None = None) -> None:
        whole("VectorQuantiser", 1, codes=codes, features=features)
        expect("VectorQuantiser", "in (0, 1)", decay=0.99 if decay is None else decay)
        e = generator("VectorQuantiser", rng).standard_normal((codes, features), np.float32)
        self.e, self.decay = Tensor(e, requires_grad=decay is None), decay
        # running means over the steps, of each code: how many vectors chose it, and their sum; at
        # first as if a vector where the code is had chosen it, of which γᵗ is left after t steps
        self.chosen, self.total = xp.ones(codes, "f4"), xp.array(self.e.data)
        self.left = xp.ones(1, "f4")  # γᵗ

    def nearest(self, z: ArrayLike) -> Array:
        """argmin ‖z − e_k‖² = argmin ‖e_k‖² − 2 z · e_k"""
        vectors, e = as_tensor(z).data, self.e.data
        distances = (e * e).sum(axis=1) - 2 * product(_rows(vectors), e.T)
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
            n = self.chosen[:, None]  # so few that m / N is lost to rounding: it stays
            self.e.data = xp.where(n > SCARCE, self.total / xp.maximum(n, SCARCE), self.e.data)

    def restart(self, z: ArrayLike, *, rng: Rng, below: float = 0.03) -> int:
        """Move each code that fewer than `below` vectors a step chose onto one of z, at random

        Returns how many moved: codes that nobody chooses learn nothing, so nobody ever will.
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
    """Σ d² of each image, and the mean over images"""
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
        """The image as numbers from 0 to K − 1: (N, h, w)"""
        with evaluating(self):
            return self.quantiser.nearest(self.encoder(x))

    def images(self, codes: ArrayLike) -> Array:
        """The mean images of these codes."""
        k, K = as_rows(codes).data, len(self.quantiser.e)
        if k.size and not 0 <= k.min() <= k.max() < K:  # below 0 would count from the end
            raise IndexError(f"VQVAE: expected 0 ≤ code < {K}, got {k.min()} to {k.max()}")
        with evaluating(self):
            return host(self.likelihood.mean(self.decoder(self.quantiser.e[k])))


class VQLoss(NamedTuple):
    """`loss` = `reconstruction` + `codebook` + β `commitment`, in nats per image.

    `perplexity`, e to the entropy of the choice, is the effective number of codes in this batch.
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

    `rng` is not used. The KL to a uniform choice is a constant, h w log K, and left out, as is the
    codebook's term if that is a running mean.
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
