"""Vector-quantised autoencoders: what is between encoder and decoder is a choice from a list.

The encoder gives a vector at each place of a small image, (N, h, w, D); each is replaced by the
nearest of K vectors, the *codebook*. So an image becomes h × w numbers from 0 to K − 1, and a model
of such numbers, which are few, generates new images. (van den Oord et al. 2017)

A choice has no gradient. Three things take its place: the encoder gets the decoder's gradient as if
nothing had been replaced ("straight through"); the codebook is drawn towards the vectors that chose
it; and the vectors are drawn towards what they chose, that they commit to it.

Notation: z_e and z_q are the vectors before and after, e the codebook (K, D), sg[·] is `detach`.

Reading order: `VectorQuantiser`; `VQVAE`; `vq_loss`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygen._checks import expect, whole
from tinygen._random import generator
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp
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

    The codebook learns by its loss; or with `decay` γ as a running mean of the vectors that chose
    each code (appendix A.1), which is k-means a batch at a time: then it is no parameter. A code
    that few choose moves to where vectors are, when `restart` is called.
    """

    def __init__(self, codes: int, features: int, *, rng: Rng, decay: float | None = None) -> None:
        whole("VectorQuantiser", 1, codes=codes, features=features)
        expect("VectorQuantiser", "in (0, 1)", decay=0.99 if decay is None else decay)
        e = generator("VectorQuantiser", rng).standard_normal((codes, features), np.float32)
        self.e, self.decay = Tensor(e, requires_grad=decay is None), decay
        # running means over the steps, of each code: how many vectors chose it, and their sum. They
        # begin as if a vector where the code is had chosen it, of which γᵗ is left after t steps
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

        Returns how many moved. A code that is never chosen learns nothing, so never will be. One
        that was moved has as long as its running count of 1 lasts to be chosen.
        """
        chosen, left = to_numpy(self.chosen), float(to_numpy(self.left)[0])
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
    """Encoder (N, H, W, C) → (N, h, w, D), codebook, decoder (N, h, w, D) → (N, H, W, C).

    The methods compute in evaluation mode, and change nothing in the model.
    """

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

    def images(self, codes: Any) -> Array:
        """The mean images of these codes."""
        with evaluating(self):
            decoded = self.decoder(self.quantiser.e[codes])
            return to_numpy(self.likelihood.mean(decoded).data)


class VQLoss(NamedTuple):
    """`loss` = `reconstruction` + `codebook` + β `commitment`, in nats per image.

    `perplexity` is the effective number of codes in use, e to the entropy of the choice, in this
    batch: `evaluate` gives the mean over its parts, less than that of all images.
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

    Nothing is drawn, so `rng` is not used. The KL to a uniform choice of codes is the constant
    h w log K, and left out. With a codebook that is a running mean its own term is left out too.
    """
    expect("vq_loss", "≥ 0", beta=beta)
    z, codes, codebook, commitment = model.quantiser(model.encoder(x))
    reconstruction = -model.likelihood.log_prob(x, model.decoder(z)).mean()
    loss = reconstruction + beta * commitment
    if model.quantiser.decay is None:
        loss = loss + codebook
    counts = np.bincount(to_numpy(codes).ravel())
    p = counts[counts > 0] / counts.sum()
    perplexity = float(np.exp(-(p * np.log(p)).sum()))
    return VQLoss(loss, reconstruction, codebook, commitment, perplexity)
