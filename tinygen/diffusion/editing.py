r"""What a trained diffusion model is good for besides new images, without being trained again.

It knows what images look like, so it can fill in what is known of one only in part. y = A x is what
is known: some pixels, or the means of squares of pixels. At each step back from noise what the
model guesses is made to agree with that. What is made so agrees exactly in the end.

- `repaint` fills holes, by drawing what is known anew at each time (Lugmayr et al. 2022);
- `super_resolve`, and `null_space` for any linear A, put what is known into the guess x̂_0 (Wang et
  al. 2023);
- `edit` adds noise to an image, up to a time, and takes it off again (Meng et al. 2022);
- `encode` goes all the way from an image to its noise, without chance, and `heun` back;
  `interpolate` goes from one image's noise to another's (Song et al. 2021, section 5.3).

What is left open by y should fit what is given, and one way back is too short for that: both of the
first go back and forth. After every `jump` steps noise is added again, and this `resample` times.

`Beside` is for the other way: a network that is trained to be told the small image.

Notation: images (N, H, W, C), in [−1, 1]; x_0, x_t, x̂_0 and ᾱ as in model.py.

Reading order: as above; `_moves` is the way back and forth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, as_tensor, concat, to_numpy, upsample2d, xp
from tinygen.diffusion.model import Diffusion, noise_like
from tinygen.diffusion.samplers import Step, ddim, edm_sigmas, heun, last
from tinygen.nn import Module

__all__ = [
    "Beside",
    "downsample",
    "edit",
    "encode",
    "interpolate",
    "null_space",
    "repaint",
    "slerp",
    "super_resolve",
    "upsample",
]


# --- what is known in part ------------------------------------------------------------------------


def repaint(
    model: Diffusion,
    x_T: Any,
    known: Any,
    mask: Any,
    classes: Any = None,
    *,
    rng: Rng,
    steps: int | None = 100,
    resample: int = 5,
    jump: int = 5,
) -> Iterator[Step]:
    """x_s = m ⊙ √ᾱ_s x_0 + √(1−ᾱ_s) ε  +  (1−m) ⊙ (a step of `ancestral`)

    (Lugmayr et al. 2022, algorithm 1.) `mask` m is 1 where the image `known` is known, else 0.
    """
    x, y, m = (xp.asarray(each) for each in (x_T, known, mask))
    m, schedule = m.astype(x.dtype), model.schedule
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
    x_T: Any,
    y: Any,
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

    A is linear, and A A⁺ the identity: of what A sees of x̂_0 nothing is kept, of the rest all.
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


def _moves(times: Sequence[int], resample: int, jump: int) -> Iterator[tuple[int, int]]:
    """(from, to): down `times` in stretches of `jump` steps, each `resample` times

    Before it is gone again a stretch is gone back up, at once: there noise of many steps is as good
    as noise of one.
    """
    whole("resample", 1, resample=resample, jump=jump)
    for first in range(0, len(times) - 1, jump):
        stretch = times[first : first + jump + 1]
        for again in range(resample):
            if again:
                yield stretch[-1], stretch[0]
            yield from pairwise(stretch)


def super_resolve(
    model: Diffusion, x_T: Any, small: Any, classes: Any = None, **options: Any
) -> Iterator[Step]:
    """Images as large as x_T whose `downsample` is `small`; options as for `null_space`"""
    x_T, small = xp.asarray(x_T), xp.asarray(small)
    factor = max(1, x_T.shape[1] // max(1, small.shape[1]))
    N, H, W, C = small.shape
    if x_T.shape != (N, H * factor, W * factor, C):
        raise ValueError(
            f"super_resolve: expected `x_T` some whole times as high and as wide as "
            f"`small`, got {x_T.shape} and {small.shape}"
        )
    return null_space(
        model,
        x_T,
        small,
        lambda x: downsample(x, factor),
        lambda y: upsample(y, factor),
        classes,
        **options,
    )


def downsample(x: Array, factor: int) -> Array:
    """The mean of each square of factor × factor pixels: (N, H, W, C) → (N, H/f, W/f, C)"""
    N, H, W, C = x.shape
    if H % factor or W % factor:
        raise ValueError(f"downsample: expected sides that {factor} divides, got {x.shape}")
    return x.reshape(N, H // factor, factor, W // factor, factor, C).mean(axis=(2, 4))


def upsample(y: Array, factor: int) -> Array:
    """Each pixel as a square of factor × factor of them: the pseudo-inverse of `downsample`"""
    return y.repeat(factor, axis=1).repeat(factor, axis=2)


# --- what is known in full ------------------------------------------------------------------------


def edit(
    model: Diffusion,
    x_0: Any,
    start: int,
    classes: Any = None,
    *,
    rng: Rng,
    steps: int | None = None,
    eta: float = 0.0,
) -> Iterator[Step]:
    """x_t ~ q(x_t|x_0) at t = `start`, and from there to an image by `ddim` (Meng et al. 2022)

    The coarse shape of x_0 stays, more of it the lower `start` is; what is finer is made anew: so a
    sketch becomes an image, or, with other `classes`, one thing another.
    """
    x_0 = xp.asarray(x_0)
    x_t = model.schedule.q_sample(x_0, start, noise_like(x_0, rng=rng))
    return ddim(model, x_t, classes, steps=steps, start=start, eta=eta, rng=rng)


def encode(model: Diffusion, x_0: Any, classes: Any = None, *, steps: int = 18) -> Iterator[Step]:
    """From images to the noise from which `heun`, with as many steps, makes them: `heun` upwards"""
    *sigmas, _ = edm_sigmas(model.schedule, steps)
    low = math.sqrt(1 + sigmas[-1] ** 2)  # x_0 is taken for x at the lowest σ
    return heun(model, xp.asarray(x_0) / low, classes, sigmas=sigmas[::-1])


def interpolate(
    model: Diffusion, x0: Any, x1: Any, count: int, classes: Any = None, *, steps: int = 18
) -> Array:
    """Images on the way from each of x0 to its partner in x1: (N, count, …)

    Both are encoded; between, `slerp`; from there back. `classes` are those of both.
    """
    whole("interpolate", 1, count=count)
    if np.shape(x0) != np.shape(x1):
        raise ValueError(
            f"interpolate: expected `x1` of the shape of `x0`, got {np.shape(x1)} and "
            f"{np.shape(x0)}"
        )
    a, b = (last(encode(model, x, classes, steps=steps)) for x in (x0, x1))
    parts = np.linspace(0, 1, count).tolist()
    ways = [last(heun(model, slerp(a, b, part), classes, steps=steps)) for part in parts]
    return np.stack(ways, axis=1)


def slerp(a: Any, b: Any, part: float) -> Array:
    """(sin (1−p)θ a + sin pθ b) / sin θ, θ the angle from a to b, image by image

    (Song et al. 2021, eq. 67.) Noise has about one length; a straight way would leave it.
    """
    a, b = to_numpy(a), to_numpy(b)
    flat_a, flat_b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    lengths = np.linalg.norm(flat_a, axis=1) * np.linalg.norm(flat_b, axis=1)
    cosine = np.clip((flat_a * flat_b).sum(axis=1) / np.maximum(lengths, 1e-300), -1, 1)
    theta = np.maximum(np.arccos(cosine), 1e-6)[:, None]  # sin x / x from there on
    mixed = (np.sin((1 - part) * theta) * flat_a + np.sin(part * theta) * flat_b) / np.sin(theta)
    return mixed.reshape(a.shape).astype(a.dtype)


# --- a network that is told the small image -------------------------------------------------------


class Beside(Module):
    """A network of images of twice the channels, as one that is given an image beside x_t

    `Beside(UNet((28, 28, 2), rng=rng))` is called with x_t (N, 28, 28, 1), t, and an image of as
    many channels, `small` or as large; that one is enlarged and put beside x_t, channel by channel.
    Trained on pairs of images and their `downsample`, it makes from the small one the large one
    (Saharia et al. 2022): to samplers it is what elsewhere are classes.
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def forward(self, x: Any, t: Any, small: Any) -> Tensor:
        x, small = as_tensor(x), as_tensor(small)
        factor = x.shape[1] // small.shape[1]
        told = upsample2d(small, factor) if factor > 1 else small
        output = as_tensor(self.network(concat([x, told], axis=-1), t))
        return output[..., : x.shape[-1]]
