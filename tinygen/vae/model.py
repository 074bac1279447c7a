"""The variational autoencoder, and its evaluation: the bound, log p(x), the KL of each unit."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen._batch import as_rows, checked_labels, dtype_of, host, one_hot, parts
from tinygen._checks import generator, whole
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, as_tensor, concat
from tinygen.nn import Module, evaluating
from tinygen.vae.bounds import Bernoulli, Loss, elbo, gaussian_kl, log_weights

__all__ = ["VAE", "evaluate", "log_likelihood", "unit_kl"]


class VAE(Module):
    """An encoder x ↦ (μ, log σ²) with 2 D outputs, a decoder of z, and a likelihood p(x|z).

    With `classes` the model is conditional (Sohn et al. 2015): both networks also see the label,
    an int from 0 to classes − 1. The encoder is called with (x, one_hot), the decoder with z and
    the one-hot label concatenated, (N, D + classes). Without classes, labels of images are ignored.
    The methods that return arrays use evaluation mode and leave the model unchanged.
    """

    def __init__(
        self,
        encoder: Callable[..., Any],
        decoder: Callable[..., Any],
        latent: int,
        *,
        likelihood: Any = None,
        classes: int | None = None,
    ) -> None:
        whole("VAE", 1, latent=latent)
        whole("VAE", 0, classes=classes or 0)
        self.encoder, self.decoder, self.latent = encoder, decoder, latent
        self.likelihood, self.classes = likelihood or Bernoulli(), classes or 0

    def encode(self, x: Array | Tensor, labels: Any = None) -> tuple[Tensor, Tensor]:
        """μ and log σ² of q(z|x), each (N, D)"""
        x, D = as_rows(x), self.latent
        h = as_tensor(self.encoder(x, *self._one_hot(labels, x)))
        if h.shape != (len(x), 2 * D):
            raise ValueError(f"VAE: expected the encoder to return (N, {2 * D}), got {h.shape}")
        return h[:, :D], h[:, D:]

    def decode(self, z: Array | Tensor, labels: Any = None) -> Tensor:
        """The parameters of p(x|z): logits or means."""
        z = as_rows(z)
        if self.classes:
            z = concat([z, *self._one_hot(labels, z)], axis=1)
        return as_tensor(self.decoder(z))

    def generate(self, z: Array | Tensor, labels: Any = None) -> Array:
        """The mean image of p(x|z) for each z."""
        if labels is not None and not self.classes:
            raise ValueError("VAE: expected no `labels`: the model is not conditional")
        mean = self.likelihood.mean
        with evaluating(self):
            return np.concatenate([host(mean(self.decode(*b))) for b in parts(self, z, labels)])

    def sample(self, n: int, labels: Any = None, *, rng: Rng) -> Array:
        """n new images: the mean of p(x|z) for z ~ N(0, I)."""
        z = generator("sample", rng).standard_normal((n, self.latent), np.float32)
        return self.generate(z.astype(dtype_of(self)), labels)

    def means(self, x: Array, labels: Any = None) -> Array:
        """μ of q(z|x), the position of each image in the latent space: (N, D)"""
        with evaluating(self):
            return np.concatenate([host(self.encode(*b)[0]) for b in parts(self, x, labels)])

    def reconstruct(self, x: Array, labels: Any = None) -> Array:
        """Each image decoded from the mean of q(z|x)."""
        return self.generate(self.means(x, labels), labels if self.classes else None)

    def interpolate(self, x0: Array, x1: Array, steps: int, labels: Any = None) -> Array:
        """Latent interpolation from each x0 to its x1, of the same label: (N, steps, …)"""
        a, b = self.means(x0, labels), self.means(x1, labels)
        labels = labels if self.classes else None
        times = np.linspace(0, 1, steps).tolist()
        return np.stack([self.generate((1 - t) * a + t * b, labels) for t in times], axis=1)

    def _one_hot(self, labels: Any, rows: Array | Tensor) -> list[Tensor]:
        """The labels as one-hot rows if the model is conditional, otherwise nothing."""
        labels = checked_labels("VAE", labels, self.classes, rows)
        return [one_hot(labels, self.classes, rows.dtype)] if self.classes else []


def evaluate(
    model: VAE, images: Array, labels: Any = None, *, rng: Rng, bound: Loss = elbo, size: int = 500
) -> dict[str, float]:
    """The terms of the bound, averaged over all images, `size` of them at a time."""
    total: dict[str, float] = {}
    with evaluating(model):
        for x, y in parts(model, images, labels, size):
            for name, value in bound(model, x, y, rng=rng)._asdict().items():
                total[name] = total.get(name, 0.0) + float(value) * len(x)
    return {name: value / len(images) for name, value in total.items()}


def log_likelihood(
    model: VAE, images: Array, labels: Any = None, *, k: int = 500, rng: Rng, size: int = 5000
) -> Array:
    """log p(x) ≈ log 1/k Σ wᵢ of each image, in nats, by importance sampling from q

    In expectation it is L_k, a lower bound on log p(x). At most `size` z are decoded at a time.
    """
    whole("log_likelihood", 1, k=k, size=size)
    most, estimates = min(k, size), []
    draws = [min(most, k - start) for start in range(0, k, most)]
    with evaluating(model):
        for x, y in parts(model, images, labels, size // most):
            weights = [host(log_weights(model, x, y, k=n, rng=rng)[0]) for n in draws]
            log_w = np.concatenate(weights).astype(float)  # (k, N)
            m = log_w.max(axis=0)
            estimates.append(m + np.log(np.exp(log_w - m).mean(axis=0)))
    return np.concatenate(estimates)


def unit_kl(model: VAE, images: Array, labels: Any = None, *, size: int = 500) -> Array:
    """The mean KL of each latent unit, (D,) in nats: near 0 if z_d says nothing about x."""
    total = np.zeros(model.latent)
    with evaluating(model):
        for x, y in parts(model, images, labels, size):
            total += host(gaussian_kl(*model.encode(x, y))).sum(axis=0)
    return total / len(images)
