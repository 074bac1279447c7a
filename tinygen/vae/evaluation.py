"""What is measured of a trained VAE: its bound, log p(x), and which latent units it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygen._batch import as_rows, part, slices
from tinygen._checks import whole
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, to_numpy
from tinygen.nn import evaluating
from tinygen.vae.bounds import Bound, elbo, gaussian_kl, log_weights
from tinygen.vae.model import VAE

__all__ = ["evaluate", "log_likelihood", "unit_kl"]


def evaluate(
    model: VAE,
    images: Any,
    labels: Any = None,
    *,
    rng: Rng,
    bound: Callable[..., Bound] = elbo,
    size: int = 500,
) -> dict[str, float]:
    """The terms of the bound, as means over all images, `size` of them at a time."""
    total: dict[str, float] = {}
    with evaluating(model):
        for x, y in _parts("evaluate", model, images, labels, size):
            terms = bound(model, x, y, rng=rng)
            for name, value in terms._asdict().items():
                total[name] = total.get(name, 0.0) + float(value) * len(x)
    return {name: value / len(images) for name, value in total.items()}


def log_likelihood(
    model: VAE, images: Any, labels: Any = None, *, k: int = 500, rng: Rng, size: int = 5000
) -> Array:
    """log p(x) ≈ log 1/k Σ wᵢ of each image, in nats, by importance sampling from q

    In expectation it is the bound L_k: never above log p(x), and close to it only if q is close to
    p(z|x) or k large. `size` draws are made at a time, so that memory does not grow with k.
    """
    whole("log_likelihood", 1, k=k, size=size)
    draws, found = min(k, size), []
    with evaluating(model):
        for x, y in _parts("log_likelihood", model, images, labels, size // draws):
            logs = []
            for start in range(0, k, draws):
                log_w, *_ = log_weights(model, x, y, k=min(draws, k - start), rng=rng)
                logs.append(to_numpy(log_w.data).astype(np.float64))
            log_w_all = np.concatenate(logs)  # (k, n)
            m = log_w_all.max(axis=0)
            found.append(m + np.log(np.exp(log_w_all - m).mean(axis=0)))
    return np.concatenate(found)


def unit_kl(model: VAE, images: Any, labels: Any = None, *, size: int = 500) -> Any:
    """The mean KL of each latent unit, (D,) in nats: near 0 is a unit that says nothing of x."""
    total = np.zeros(model.latent)
    with evaluating(model):
        for x, y in _parts("unit_kl", model, images, labels, size):
            total += to_numpy(gaussian_kl(*model.encode(x, y)).data).sum(axis=0)
    return total / len(images)


def _parts(
    owner: str, model: Any, images: Any, labels: Any, size: int
) -> Iterator[tuple[Tensor, Any]]:
    labels = model._checked(labels, images) if model.classes else None
    for some in slices(owner, images, size):
        yield as_rows(images[some]), part(labels, some)
