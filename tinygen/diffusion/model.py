r"""Diffusion models: a network learns to remove noise, and so generates images from pure noise.

Given x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε and t, a network learns by least squares to predict x_0, and so
learns the posterior mean E[x_0|x_t]. (Sohl-Dickstein et al. 2015; Ho et al. 2020) It can also
predict the noise ε, or v = √ᾱ_t ε − √(1−ᾱ_t) x_0; given x_t, each determines the others. But the
squared error of ε is SNR = ᾱ_t/(1−ᾱ_t) times that of x_0, and that of v SNR + 1 times.

Notation: x_0, x_t, eps (N, …) are images in [−1, 1], points or latent vectors; t from 1 to T, (N,),
is given to the network as 1000 t/T; a hat, x̂_0, marks a prediction.
Reading order: `Diffusion`; the loss and its weights; `train`; `variational_bound`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygen._batch import as_rows, drop_labels, with_labels
from tinygen._checks import expect, generator
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, grad, mean, to_numpy, xp
from tinygen.diffusion.schedule import NoiseSchedule, Rows, per_row
from tinygen.nn import Module, evaluating
from tinygen.optim import EMA, Optimizer

__all__ = ["Diffusion", "Terms", "denoising_loss", "min_snr", "noise_like", "simple", "snr"]
__all__ += ["target", "train", "variational_bound", "x_0_and_eps"]

PREDICTIONS = ("eps", "x_0", "v")


def target(predicts: str, x_0: Any, eps: Any, a: Any, b: Any) -> Any:
    """The network's target at a = √ᾱ_t and b = √(1−ᾱ_t): ε, x_0, or v = a ε − b x_0"""
    return {"eps": lambda: eps, "x_0": lambda: x_0, "v": lambda: eps * a - x_0 * b}[predicts]()


def x_0_and_eps(predicts: str, output: Rows, x_t: Rows, a: Any, b: Any) -> tuple[Rows, Rows]:
    """x̂_0 and ε̂ from the network's output, with a x̂_0 + b ε̂ = x_t; requires b > 0"""
    if predicts == "eps":
        return (x_t - output * b) / a, output
    if predicts == "x_0":
        return output, (x_t - output * a) / b
    return x_t * a - output * b, x_t * b + output * a


class Diffusion(Module):
    """A network, its noise schedule, and the quantity that it predicts.

    `network(x_t, times)`, or `network(x_t, times, classes)`, takes Tensors and returns a Tensor or
    an array of the shape of x_t. `classes` are ints, one per image, or another condition.
    `predicts` is "eps", "x_0" or "v" (Salimans & Ho 2022). With `clip` c, samplers clip x̂_0 to
    [−c, c]; use 1 for images in [−1, 1].
    """

    def __init__(
        self,
        network: Callable[..., Any],
        schedule: NoiseSchedule,
        predicts: str = "eps",
        *,
        clip: float | None = None,
    ) -> None:
        if predicts not in PREDICTIONS:
            raise ValueError(f"Diffusion: expected `predicts` in {PREDICTIONS}, got {predicts!r}")
        if clip is not None:
            expect("Diffusion", "> 0", clip=clip)
        self.network, self.schedule, self.predicts, self.clip = network, schedule, predicts, clip

    def forward(self, x_t: ArrayLike, t: ArrayLike, classes: Any = None) -> Tensor:
        """The network's output at x_t and t: one time for all rows, or (N,) on the host"""
        x_t = as_tensor(x_t)
        times = np.broadcast_to(np.asarray(t) * (1000 / self.schedule.T), x_t.shape[:1])
        condition = () if classes is None else (as_rows(classes),)
        output = as_tensor(self.network(x_t, as_tensor(xp.asarray(times, x_t.dtype)), *condition))
        if output.shape != x_t.shape:
            raise ValueError(f"Diffusion: expected {x_t.shape} as output, got {output.shape}")
        return output

    def denoise(self, x_t: Array, t: float, classes: Any = None) -> tuple[Array, Array]:
        """x̂_0 and ε̂ as arrays, in evaluation mode, for samplers"""
        a, b = map(float, self.schedule.scales(t))
        with evaluating(self):
            output = self(x_t, t, classes).data
        x_0, eps = x_0_and_eps(self.predicts, output, x_t, a, b)
        if self.clip is not None:
            x_0 = xp.clip(x_0, -self.clip, self.clip)
            eps = (x_t - a * x_0) / b
        return x_0, eps


def noise_like(x: Array | Tensor, *, rng: Rng) -> Array:
    """ε ~ N(0, I) with the shape and dtype of x, generated on the host"""
    return xp.asarray(generator("noise_like", rng).standard_normal(x.shape, np.float32), x.dtype)


class Terms(NamedTuple):
    """The `loss` to minimise and the unweighted `mse`: means over all elements."""

    loss: Tensor
    mse: Tensor


def simple(snr: Array, predicts: str) -> Array:
    """1: the unweighted squared error of the prediction (Ho et al. 2020, eq. 14, for ε)"""
    return np.ones_like(snr)


def snr(snr: Array, predicts: str) -> Array:
    """SNR ‖x_0 − x̂_0‖² = ‖ε − ε̂‖², whatever the network predicts (Salimans & Ho 2022, section 4)"""
    return snr / _as_x_0(snr, predicts)


def min_snr(snr: Array, predicts: str, gamma: float = 5.0) -> Array:
    """min(SNR, γ) ‖x_0 − x̂_0‖²: limits the weight at low noise (Hang et al. 2023, eq. 8)"""
    return np.minimum(snr, gamma) / _as_x_0(snr, predicts)


def _as_x_0(snr: Array, predicts: str) -> Array:
    """The squared error of the prediction, divided by ‖x_0 − x̂_0‖²"""
    return {"eps": snr, "x_0": np.ones_like(snr), "v": snr + 1}[predicts]


def denoising_loss(
    model: Diffusion,
    x_0: ArrayLike,
    classes: Any = None,
    *,
    rng: Rng,
    weight: Callable[[Array, str], Array] = simple,
    null: int | None = None,
    drop: float = 0.1,
) -> Terms:
    """E w(t) ‖y − ŷ(x_t, t)‖², where y is ε, x_0 or v, t ~ U{1 … T}, ε ~ N(0, I) (eq. 14)

    The mean is over elements too. `weight` is `simple`, `snr`, `min_snr`, or a similar function. If
    the network has a label `null` for "any class", it replaces labels with probability `drop`.
    """
    x_0, schedule = as_rows(x_0), model.schedule
    t = generator("denoising_loss", rng).integers(1, schedule.T + 1, len(x_0))  # (N,)
    eps = noise_like(x_0, rng=rng)
    if null is not None and classes is not None:
        classes = drop_labels(classes, null, drop, rng=rng)
    output = model(schedule.q_sample(x_0, t, eps), t, classes)
    a, b = (per_row(scale, x_0) for scale in schedule.scales(t))
    error = output - target(model.predicts, x_0, eps, a, b)
    square = mean(error * error, axis=tuple(range(1, x_0.ndim)))  # (N,)
    w = xp.asarray(weight(schedule.snr(t), model.predicts), x_0.dtype)
    return Terms(mean(square * w), mean(square))


def train(
    model: Diffusion,
    batches: Iterable[Any],
    optimizer: Optimizer,
    *,
    rng: Rng,
    ema: EMA | None = None,
    loss: Callable[..., Terms] = denoising_loss,
) -> Iterator[dict[str, Tensor]]:
    """Algorithm 1: one gradient step per batch, at random times; yields the loss's terms.

    Batches are images, or (images, classes). To weight the loss or drop classes, pass another
    `loss`: `partial(denoising_loss, weight=min_snr, null=10)`. `ema` averages the parameters over
    the steps; sample with `ema.applied()`.
    """
    for batch in batches:
        x_0, classes = with_labels(batch)
        terms = loss(model, x_0, classes, rng=rng)
        optimizer.step(grad(terms.loss, optimizer.params))
        if ema is not None:
            ema.update()
        yield terms._asdict()


def variational_bound(model: Diffusion, x_0: ArrayLike, classes: Any = None, *, rng: Rng) -> Array:
    """An upper bound on −log p(x_0) of each image in nats, for sampling by `ancestral` (eq. 5)

    KL(q(x_T|x_0) ‖ N(0, I)) + Σ KL(q(x_{t−1}|x_t, x_0) ‖ p(x_{t−1}|x_t)) − log p(x_0|x_1), where
    the KLs in the sum are ½ (SNR(t−1) − SNR(t)) ‖x_0 − x̂_0‖², and p(x_0|x_1) = N(x̂_0, σ_1² I).
    It is estimated with one ε for each t: T calls of the network.
    """
    x, schedule = as_rows(x_0).data, model.schedule
    D = math.prod(x.shape[1:])
    a, b = map(float, schedule.scales(schedule.T))
    bound: Array = 0.5 * (a * a * _square(x) + D * (b * b - 1 - 2 * math.log(b)))
    for t in range(schedule.T, 0, -1):
        x_t = schedule.q_sample(x, t, noise_like(x, rng=rng))
        square = _square(x - model.denoise(x_t, t, classes)[0])
        if t > 1:
            bound += 0.5 * (schedule.snr(t - 1) - schedule.snr(t)) * square
    variance = float(schedule.sigma(1)) ** 2
    return bound + 0.5 * (square / variance + D * math.log(2 * math.pi * variance))


def _square(x: Array) -> Array:
    """‖x‖² of each image, on the host: (N,)"""
    return to_numpy((x * x).reshape(len(x), -1).sum(axis=1)).astype(np.float64)
