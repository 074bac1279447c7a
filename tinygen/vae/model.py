"""A variational autoencoder: an encoder and a decoder put together, and how it generates."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen._batch import as_rows, checked_labels, dtype_of, one_hot, part, slices
from tinygen._checks import whole
from tinygen._random import generator
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, as_tensor, concat, to_numpy
from tinygen.nn import Module, evaluating
from tinygen.vae.bounds import checked_likelihood

__all__ = ["VAE"]

AT_ONCE = 500  # images that are decoded together where nothing is learnt from them


class VAE(Module):
    """An encoder x ↦ (μ, log σ²), of 2 D outputs, a decoder z ↦ p(x|z), and what p(x|z) is.

    With `classes` the model is conditional (Sohn et al. 2015): both networks are also told the
    label, an int from 0 to classes − 1. The encoder is called with (x, one_hot), the decoder with z
    and the one-hot label side by side, (N, D + classes). A model that is not conditional does not
    look at the labels of images, and draws none to order.

    What is returned as arrays is computed in evaluation mode, and changes nothing in the model.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        latent: int,
        *,
        likelihood: Any = None,
        classes: int | None = None,
    ) -> None:
        whole("VAE", 1, latent=latent)
        whole("VAE", 0, classes=0 if classes is None else classes)
        self.encoder, self.decoder, self.latent = encoder, decoder, int(latent)
        self.likelihood = checked_likelihood("VAE", likelihood)
        self.classes = int(classes or 0)

    def encode(self, x: Any, labels: Any = None) -> tuple[Tensor, Tensor]:
        """μ and log σ² of q(z|x), each (N, D)"""
        given = (self._one_hot(labels, x),) if self.classes else ()
        h = as_tensor(self.encoder(x, *given))
        if h.ndim != 2 or h.shape[1] != 2 * self.latent:
            raise ValueError(
                f"VAE: expected the encoder to give (N, {2 * self.latent}), the mean "
                f"and log-variance of {self.latent} units, got {h.shape}"
            )
        return h[:, : self.latent], h[:, self.latent :]

    def decode(self, z: Any, labels: Any = None) -> Tensor:
        """The parameters of p(x|z): logits, or means."""
        if self.classes:
            z = concat([as_tensor(z), self._one_hot(labels, z)], axis=1)
        return as_tensor(self.decoder(z))

    def generate(self, z: Any, labels: Any = None) -> Array:
        """The mean image of p(x|z) for each z."""
        if labels is not None and not self.classes:
            raise ValueError("VAE: expected no `labels`, for the model is not conditional")
        labels, parts = self._checked(labels, z), []
        with evaluating(self):
            for some in slices("generate", z, AT_ONCE):
                decoded = self.decode(as_rows(z[some]), part(labels, some))
                parts.append(to_numpy(self.likelihood.mean(decoded).data))
        return np.concatenate(parts)

    def sample(self, n: int, labels: Any = None, *, rng: Rng) -> Array:
        """n new images: z ~ N(0, I), and the mean of p(x|z)."""
        whole("sample", 1, n=n)
        z = generator("sample", rng).standard_normal((n, self.latent), np.float32)
        return self.generate(z.astype(dtype_of(self)), labels)

    def reconstruct(self, x: Any, labels: Any = None) -> Array:
        """What comes back of x: decoded from the mean of q(z|x)."""
        return self.generate(self.means(x, labels), self._checked(labels, x))

    def means(self, x: Any, labels: Any = None) -> Array:
        """μ of q(z|x), where each image lies in the latent space: (N, D)"""
        labels, parts = self._checked(labels, x), []
        with evaluating(self):
            for some in slices("means", x, AT_ONCE):
                mu, _ = self.encode(as_rows(x[some]), part(labels, some))
                parts.append(to_numpy(mu.data))
        return np.concatenate(parts)

    def interpolate(self, x0: Any, x1: Any, steps: int, labels: Any = None) -> Any:
        """Images on the way from each of x0 to its partner in x1, straight in z: (N, steps, …)

        `labels` are those of both.
        """
        whole("interpolate", 1, steps=steps)
        if len(x0) != len(x1):
            raise ValueError(
                f"interpolate: expected as many images in `x1` as in `x0`, got "
                f"{len(x1)} and {len(x0)}"
            )
        a, b = (self.means(x, labels) for x in (x0, x1))
        times, labels = np.linspace(0, 1, steps).tolist(), self._checked(labels, x0)
        ways = [self.generate((1 - t) * a + t * b, labels) for t in times]
        return np.stack(ways, axis=1)

    def _checked(self, labels: Any, beside: Any) -> Any:
        return checked_labels("VAE", labels, self.classes, beside)

    def _one_hot(self, labels: Any, beside: Any) -> Tensor:
        return one_hot(self._checked(labels, beside), self.classes, beside.dtype)
