r"""Variational autoencoders: a model of images with hidden causes, and a bound to train it by.

An image x is thought to arise from a hidden z ~ N(0, I) by p(x|z), whose parameters a network, the
*decoder*, computes from z. How probable an image is, p(x) = ∫ p(x|z) p(z) dz, nobody can compute.
But with any distribution q(z|x), here a Gaussian N(μ, diag σ²) whose parameters a second network,
the *encoder*, computes from x,

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))                                        the ELBO

and both terms can be computed and differentiated. Train both networks to raise it. (Kingma and
Welling 2014; Rezende et al. 2014)

Notation: N images x, D latent units, k draws of z; mu and log_var are μ and log σ² (N, D). Terms
are sums over pixels and over units, and means over images only: nats per image. Averaged over
pixels the first term would weigh 784 times less against the second, and the bound be none.

Reading order: the terms, in vae_terms.py; `elbo`, `iwae`; `VAE`, which puts two networks together;
`train`; what is measured afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygen.arrange import concat
from tinygen.backend import to_numpy, xp
from tinygen.checks import number, whole
from tinygen.module import Module, evaluating
from tinygen.ops import maximum
from tinygen.optim import Optimizer
from tinygen.randomness import generator
from tinygen.reductions import logsumexp
from tinygen.rows import as_rows, checked_labels, dtype_of, halves, one_hot, part, slices
from tinygen.tensor import Tensor, as_tensor, broadcast_to, grad, mean, reshape
from tinygen.tensor import sum as sum_over
from tinygen.vae_terms import (
    Bernoulli,
    Gaussian,
    checked_likelihood,
    gaussian_kl,
    log_normal,
    reparameterise,
)

__all__ = [
    "VAE", "Bernoulli", "Bound", "Gaussian", "bits_per_dimension", "elbo", "evaluate",
    "gaussian_kl", "iwae", "log_likelihood", "log_normal", "log_weights", "reparameterise",
    "train", "unit_kl",
]  # fmt: skip

Random = np.random.Generator
AT_ONCE = 500  # images that are decoded together where nothing is learnt from them


# --- the model: two networks ----------------------------------------------------------------------


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
            raise ValueError(f"VAE: expected the encoder to give (N, {2 * self.latent}), the mean "
                             f"and log-variance of {self.latent} units, got {h.shape}")  # fmt: skip
        return h[:, : self.latent], h[:, self.latent :]

    def decode(self, z: Any, labels: Any = None) -> Tensor:
        """The parameters of p(x|z): logits, or means."""
        if self.classes:
            z = concat([as_tensor(z), self._one_hot(labels, z)], axis=1)
        return as_tensor(self.decoder(z))

    def generate(self, z: Any, labels: Any = None) -> np.ndarray[Any, Any]:
        """The mean image of p(x|z) for each z."""
        if labels is not None and not self.classes:
            raise ValueError("VAE: expected no `labels`, for the model is not conditional")
        labels, parts = self._checked(labels, z), []
        with evaluating(self):
            for some in slices("generate", z, AT_ONCE):
                decoded = self.decode(as_rows(z[some]), part(labels, some))
                parts.append(to_numpy(self.likelihood.mean(decoded).data))
        return np.concatenate(parts)

    def sample(self, n: int, labels: Any = None, *, rng: Random) -> np.ndarray[Any, Any]:
        """n new images: z ~ N(0, I), and the mean of p(x|z)."""
        whole("sample", 1, n=n)
        z = generator("sample", rng).standard_normal((n, self.latent), np.float32)
        return self.generate(z.astype(dtype_of(self)), labels)

    def reconstruct(self, x: Any, labels: Any = None) -> np.ndarray[Any, Any]:
        """What comes back of x: decoded from the mean of q(z|x)."""
        return self.generate(self.means(x, labels), self._checked(labels, x))

    def means(self, x: Any, labels: Any = None) -> np.ndarray[Any, Any]:
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
            raise ValueError(f"interpolate: expected as many images in `x1` as in `x0`, got "
                             f"{len(x1)} and {len(x0)}")  # fmt: skip
        a, b = (self.means(x, labels) for x in (x0, x1))
        times, labels = np.linspace(0, 1, steps).tolist(), self._checked(labels, x0)
        ways = [self.generate((1 - t) * a + t * b, labels) for t in times]
        return np.stack(ways, axis=1)

    def _checked(self, labels: Any, beside: Any) -> Any:
        return checked_labels("VAE", labels, self.classes, beside)

    def _one_hot(self, labels: Any, beside: Any) -> Tensor:
        return one_hot(self._checked(labels, beside), self.classes, beside.dtype)


# --- the bounds -----------------------------------------------------------------------------------


class Bound(NamedTuple):
    """`loss`, to be minimised, and its parts, as means over the images in nats.

    `loss` = `reconstruction` + `kl`, but for β, free bits and `iwae`.
    """

    loss: Tensor
    reconstruction: Tensor  # −E_q[log p(x|z)]
    kl: Tensor  # KL(q(z|x) ‖ p(z))


def elbo(
    model: VAE,
    x: Any,
    labels: Any = None,
    *,
    rng: Random,
    beta: float = 1.0,
    free_bits: float = 0.0,
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


def iwae(model: VAE, x: Any, labels: Any = None, *, k: int, rng: Random) -> Bound:
    """−L_k = −E[log 1/k Σ wᵢ], a bound that rises to log p(x) with k; k = 1 is the ELBO

    (Burda et al. 2016, eq. 8.) Its gradient is Σ w̃ᵢ ∇log wᵢ with w̃ = w / Σ w (eq. 14), which is
    what logsumexp's vjp, a softmax, gives without further ado. It is not the mean of k ELBOs.
    """
    log_w, given_z, kl = log_weights(model, x, labels, k=k, rng=rng)
    loss = math.log(k) - mean(logsumexp(log_w, axis=0))
    return Bound(loss, -mean(given_z), mean(sum_over(kl, axis=1)))


def log_weights(
    model: VAE, x: Any, labels: Any = None, *, k: int, rng: Random
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
    return (given_z + log_normal(z) - log_normal(z, mu, log_var), given_z,
            gaussian_kl(mu, log_var))  # fmt: skip


def _noise(rng: Random, shape: tuple[int, ...], dtype: Any) -> Any:
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
    rng: Random,
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


# --- what is measured afterwards ------------------------------------------------------------------


def evaluate(
    model: VAE,
    images: Any,
    labels: Any = None,
    *,
    rng: Random,
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
    model: VAE, images: Any, labels: Any = None, *, k: int = 500, rng: Random, size: int = 5000
) -> np.ndarray[Any, Any]:
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


def bits_per_dimension(nats: Any, dimensions: int, levels: int | None = None) -> Any:
    """−log p(x) of an image in nats, as bits for each of its numbers

    For a density of grey values that were scaled from `levels` levels, 256 say, to [0, 1], log₂
    of that many is added: it is the density of the levels' numbers that is comparable.
    """
    levels = 1 if levels is None else levels
    whole("bits_per_dimension", 1, dimensions=dimensions, levels=levels)
    return np.asarray(nats) / (dimensions * math.log(2)) + math.log2(levels)


def _parts(
    owner: str, model: Any, images: Any, labels: Any, size: int
) -> Iterator[tuple[Tensor, Any]]:
    labels = model._checked(labels, images) if model.classes else None
    for some in slices(owner, images, size):
        yield as_rows(images[some]), part(labels, some)
