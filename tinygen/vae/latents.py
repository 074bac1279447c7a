"""The latents of a VAE as small images, for a diffusion model to learn (Rombach et al. 2022).

Notation: N images, D = h w C latent numbers, in h × w positions with C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygen._batch import host, slices
from tinygen._types import Array, Rng
from tinygen.autograd import concat, no_grad, xp
from tinygen.vae.model import VAE

__all__ = ["Latents"]


class Latents:
    """Latents (N, h, w, C) of images, scaled so that each channel has mean 0 and variance 1

    z is sampled from q(z|x) = N(μ, σ²). Posteriors (N, 2 D) hold μ and log σ² of each image.
    """

    def __init__(self, model: VAE, shape: tuple[int, int, int]) -> None:
        self.model, self.shape = model, shape
        self.mean, self.std = np.zeros(shape[2], np.float32), np.ones(shape[2], np.float32)

    def fit(self, images: Array) -> Array:
        """Set the scaling from these images, and return their posteriors."""
        encoded = []
        for rows in slices("Latents", images, 500):
            with no_grad():
                encoded.append(host(concat(self.model.encode(xp.asarray(images[rows])), axis=1)))
        posteriors = np.concatenate(encoded)
        mu, variance = self._split(posteriors)
        self.mean = mu.mean(axis=(0, 1, 2))
        self.std = np.sqrt(mu.var(axis=(0, 1, 2)) + variance.mean(axis=(0, 1, 2)))
        return posteriors

    def _split(self, posteriors: Array) -> tuple[Array, Array]:
        """μ and σ², (N, h, w, C)"""
        mu, log_var = (z.reshape(-1, *self.shape) for z in np.split(posteriors, 2, axis=1))
        return mu, np.exp(log_var)

    def sample(self, posteriors: Array, *, rng: Rng) -> Array:
        """z ~ q(z|x), scaled: (N, 2 D) → (N, h, w, C). It can be the `transform` of `Batches`."""
        mu, variance = self._split(posteriors)
        z = mu + np.sqrt(variance) * rng.standard_normal(mu.shape, np.float32)
        return (z - self.mean) / self.std

    def images(self, z: Any) -> Array:
        """The images of scaled latents (N, h, w, C), in [0, 1]"""
        z = host(z) * self.std + self.mean
        return self.model.generate(z.reshape(len(z), -1)).clip(0, 1)

    def state_dict(self) -> dict[str, Array]:
        return {"mean": self.mean, "std": self.std}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        self.mean, self.std = state["mean"], state["std"]
