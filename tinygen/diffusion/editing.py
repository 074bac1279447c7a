r"""Image editing with a trained diffusion model, without further training.

Only y = A x is known of an image x: some pixels (`repaint`), the means of blocks of pixels
(`super_resolve`), or any linear A (`null_space`). Each denoising step enforces agreement with y.
One pass is too short for the rest of the image to fit y. So after every `jump` steps noise is added
and they are repeated, `resample` times in all.

`edit` adds noise to a whole image and removes it; `encode` finds the noise that generates an image,
and `interpolate` blends two images by their noise. `Beside` conditions a network on a small image.

Notation: images (N, H, W, C), in [−1, 1]; x_0, x_t, x̂_0 and ᾱ as in model.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, concat, to_numpy, upsample2d, xp
from tinygen.diffusion.model import Diffusion, noise_like
from tinygen.diffusion.samplers import Step, ddim, edm_sigmas, heun, last
from tinygen.nn import Module


def repaint(
    model: Diffusion,
    x_T: ArrayLike,
    known: ArrayLike,
    mask: ArrayLike,
    classes: Any = None,
    *,
    rng: Rng,
    steps: int | None = 100,
    resample: int = 5,
    jump: int = 5,
) -> Iterator[Step]:
    """x_s = m ⊙ √ᾱ_s x_0 + √(1−ᾱ_s) ε  +  (1−m) ⊙ (a step of `ancestral`)

    (Lugmayr et al. 2022, algorithm 1.) `mask` m is 1 where `known` x_0 is given, 0 elsewhere.
    """
    x, y, schedule = xp.asarray(x_T), xp.asarray(known), model.schedule
    m = xp.asarray(mask).astype(x.dtype)
    for t, s in _moves(schedule.times(steps), resample, jump):
        if s > t:
            x = schedule.q_sample(x, s, noise_like(x, rng=rng), t)
            continue
        x_0, _ = model.denoise(x, t, classes)
        mean, variance = schedule.posterior(x_0, x, t, s)
        unknown = mean + math.sqrt(variance) * noise_like(x, rng=rng)
        x = m * schedule.q_sample(y, s, noise_like(x, rng=rng)) + (1 - m) * unknown
        yield Step(s, x, x_0)


def null_space(
    model: Diffusion,
    x_T: ArrayLike,
    y: ArrayLike,
    A: Callable[[Array], Array],
    pseudo_inverse: Callable[[Array], Array],
    classes: Any = None,
    *,
    rng: Rng,
    steps: int | None = 100,
    resample: int = 5,
    jump: int = 5,
) -> Iterator[Step]:
    """x̂_0 ← x̂_0 + A⁺(y − A x̂_0), then a step of `ancestral` (DDNM: Wang et al. 2023, eq. 13)

    A is linear and A A⁺ = I: this makes A x̂_0 = y and keeps x̂_0's part in the null space of A.
    """
    x, y, schedule = xp.asarray(x_T), xp.asarray(y), model.schedule
    for t, s in _moves(schedule.times(steps), resample, jump):
        if s > t:
            x = schedule.q_sample(x, s, noise_like(x, rng=rng), t)
            continue
        x_0, _ = model.denoise(x, t, classes)
        x_0 = x_0 + pseudo_inverse(y - A(x_0))
        mean, variance = schedule.posterior(x_0, x, t, s)
        x = mean + math.sqrt(variance) * noise_like(x, rng=rng) if s > 0 else mean
        yield Step(s, x, x_0)


def _moves(times: list[int], resample: int, jump: int) -> Iterator[tuple[int, int]]:
    """(t, s): down `times`, each interval of `jump` steps `resample` times, moving up in between"""
    whole("resample", 1, resample=resample, jump=jump)
    for first in range(0, len(times) - 1, jump):
        interval = times[first : first + jump + 1]
        yield from pairwise(interval)
        for _ in range(resample - 1):
            yield interval[-1], interval[0]
            yield from pairwise(interval)


def super_resolve(
    model: Diffusion, x_T: ArrayLike, small: ArrayLike, classes: Any = None, **options: Any
) -> Iterator[Step]:
    """Images as large as x_T whose `downsample` is `small`; options as for `null_space`"""
    (N, H, W, C), large = np.shape(small), np.shape(x_T)
    f = large[1] // H
    if large != (N, H * f, W * f, C):
        raise ValueError(f"super_resolve: `x_T` {large} does not enlarge `small` {N, H, W, C}")
    A, pseudo_inverse = partial(downsample, factor=f), partial(upsample, factor=f)
    return null_space(model, x_T, small, A, pseudo_inverse, classes, **options)


def downsample(x: Array, factor: int) -> Array:
    """The mean of each block of factor × factor pixels: (N, H, W, C) → (N, H/f, W/f, C)"""
    N, H, W, C = x.shape
    return x.reshape(N, H // factor, factor, W // factor, factor, C).mean(axis=(2, 4))


def upsample(y: Array, factor: int) -> Array:
    """Each pixel repeated factor × factor times: the pseudo-inverse of `downsample`"""
    return y.repeat(factor, axis=1).repeat(factor, axis=2)


def edit(
    model: Diffusion,
    x_0: ArrayLike,
    start: int,
    classes: Any = None,
    *,
    rng: Rng,
    steps: int | None = None,
    eta: float = 0.0,
) -> Iterator[Step]:
    """Sample x_t ~ q(x_t|x_0) at t = `start`, then denoise it by `ddim` (Meng et al. 2022)

    The lower `start`, the more of x_0 is kept. This turns a sketch into an image or, with other
    `classes`, one digit into another.
    """
    x_0 = xp.asarray(x_0)
    x_t = model.schedule.q_sample(x_0, start, noise_like(x_0, rng=rng))
    return ddim(model, x_t, classes, steps=steps, start=start, eta=eta, rng=rng)


def encode(
    model: Diffusion, x_0: ArrayLike, classes: Any = None, *, steps: int = 18
) -> Iterator[Step]:
    """The noise from which `heun` with as many steps generates these images: `heun` reversed"""
    *sigmas, _ = edm_sigmas(model.schedule, steps)
    low = math.sqrt(1 + sigmas[-1] ** 2)  # x_0 serves as x at the lowest σ
    return heun(model, xp.asarray(x_0) / low, classes, sigmas=sigmas[::-1])


def interpolate(
    model: Diffusion, x0: Array, x1: Array, count: int, classes: Any = None, *, steps: int = 18
) -> Array:
    """Images from x0 to x1 by `slerp` of their noise (Song et al. 2021, sec. 5.3): (N, count, …)"""
    a, b = (last(encode(model, x, classes, steps=steps)) for x in (x0, x1))
    codes = [slerp(a, b, p) for p in np.linspace(0, 1, count).tolist()]
    return np.stack([last(heun(model, x, classes, steps=steps)) for x in codes], axis=1)


def slerp(a: Array, b: Array, part: float) -> Array:
    """(sin (1−p)θ a + sin pθ b) / sin θ, with θ the angle between a and b, image by image

    (Song et al. 2021, eq. 67.) Unlike linear interpolation, it keeps the norm typical of noise.
    """
    a, b = to_numpy(a), to_numpy(b)
    flat_a, flat_b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    lengths = np.linalg.norm(flat_a, axis=1) * np.linalg.norm(flat_b, axis=1)
    cosine = np.clip((flat_a * flat_b).sum(axis=1) / np.maximum(lengths, 1e-300), -1, 1)
    theta = np.maximum(np.arccos(cosine), 1e-6)[:, None]  # avoids 0/0
    mixed = (np.sin((1 - part) * theta) * flat_a + np.sin(part * theta) * flat_b) / np.sin(theta)
    return mixed.reshape(a.shape).astype(a.dtype)


class Beside(Module):
    """A network conditioned on an image, whose channels are concatenated to those of x_t

    `Beside(UNet((28, 28, 2), rng=rng))` takes x_t (N, 28, 28, 1), t and, in place of classes, an
    image with as many channels, of the same size or `small`. Trained on images and their
    `downsample`, it does super-resolution (Saharia et al. 2022).
    """

    def __init__(self, network: Callable[..., Any]) -> None:
        self.network = network

    def forward(self, x: ArrayLike, t: ArrayLike, small: ArrayLike) -> Tensor:
        x, small = as_tensor(x), as_tensor(small)
        factor = x.shape[1] // small.shape[1]
        condition = upsample2d(small, factor) if factor > 1 else small
        output = as_tensor(self.network(concat([x, condition], axis=-1), t))
        return output[..., : x.shape[-1]]
