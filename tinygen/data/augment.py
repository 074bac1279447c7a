"""Small random changes to images that show the same as before: so a few images do for many.

    x = augment.shift(augment.flip(x, rng=rng), 2, rng=rng)

Each function takes a batch x (N, H, W, C) and returns a new one of its dtype; every image has its
own randomness.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, Rng

__all__ = ["binarize", "crop", "flip", "noise", "rotate", "shift"]


def flip(x: Array, *, rng: Rng) -> Array:
    """Each image as it is or, as probably, left and right exchanged"""
    _check("flip", x, rng)
    flipped = rng.random(len(x)) < 0.5
    return np.where(flipped[:, None, None, None], x[:, :, ::-1], x)


def shift(x: Array, most: int, *, rng: Rng) -> Array:
    """Each image moved by up to `most` whole pixels, down or up and right or left, onto zeros"""
    _check("shift", x, rng)
    whole("shift", 0, most=most)
    return _window(x, x.shape[1], x.shape[2], most, rng)


def crop(x: Array, size: int, *, rng: Rng, padding: int = 0) -> Array:
    """`size` × `size` pixels from anywhere in each image, after a border of zeros is added"""
    _check("crop", x, rng)
    whole("crop", 1, size=size)
    whole("crop", 0, padding=padding)
    if size > min(x.shape[1:3]) + 2 * padding:
        raise ValueError(f"crop: expected `size` to fit in `x` {x.shape} and padding, got {size}")
    return _window(x, size, size, padding, rng)


def _window(x: Array, height: int, width: int, padding: int, rng: Rng) -> Array:
    """A window from anywhere in each image, after zeros are added all around"""
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    windows = sliding_window_view(x, (height, width), axis=(1, 2))  # (N, tops, lefts, C, h, w)
    N, tops, lefts = windows.shape[:3]
    chosen = windows[np.arange(N), rng.integers(tops, size=N), rng.integers(lefts, size=N)]
    return np.ascontiguousarray(np.moveaxis(chosen, 1, 3))


def rotate(x: Array, degrees: float, *, rng: Rng, fill: float = 0.0) -> Array:
    """Each image turned about its middle, by an angle ~ U(−degrees, degrees)

    The pixel at (r, c) from the middle, row down, was at (r cos θ + c sin θ, c cos θ − r sin θ): it
    is the mean of the four around, weighted by how near they are; beyond the image there is `fill`.
    """
    _check("rotate", x, rng, floating=True)
    expect("rotate", "≥ 0", degrees=degrees)
    N, H, W, C = x.shape
    theta = np.deg2rad(rng.uniform(-degrees, degrees, N))[:, None, None]  # anticlockwise
    cos, sin = np.cos(theta).astype(np.float32), np.sin(theta).astype(np.float32)
    r = (np.arange(H, dtype=np.float32) - (H - 1) / 2)[:, None]
    c = np.arange(W, dtype=np.float32) - (W - 1) / 2
    # in an image with a border of one pixel of `fill`; what is further out falls on the border
    row = np.clip(r * cos + c * sin + (H + 1) / 2, 0, H + 1)  # (N, H, W)
    column = np.clip(c * cos - r * sin + (W + 1) / 2, 0, W + 1)
    top, left = np.minimum(row.astype(np.intp), H), np.minimum(column.astype(np.intp), W)
    down, right = (row - top)[..., None], (column - left)[..., None]
    pixels = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=fill).reshape(-1, C)
    at = (np.arange(N)[:, None, None] * (H + 2) + top) * (W + 2) + left  # the upper left of four
    upper = pixels[at] * (1 - right) + pixels[at + 1] * right
    lower = pixels[at + W + 2] * (1 - right) + pixels[at + W + 3] * right
    return (upper * (1 - down) + lower * down).astype(x.dtype)


def noise(x: Array, sigma: float, *, rng: Rng) -> Array:
    """x + σ ε, ε ~ N(0, I). It is not clipped: a model that counts on Gaussian noise gets it"""
    _check("noise", x, rng, floating=True)
    expect("noise", "≥ 0", sigma=sigma)
    return (x + sigma * rng.standard_normal(x.shape, np.float32)).astype(x.dtype)


def binarize(x: Array, *, rng: Rng) -> Array:
    """0 or 1 for each pixel, drawn anew at each call: P(1) = x, which is in [0, 1]

    Salakhutdinov & Murray 2008.
    """
    _check("binarize", x, rng, floating=True)
    if x.size and not (x.min() >= 0 and x.max() <= 1):  # so that a nan is refused too
        raise ValueError(f"binarize: expected `x` in [0, 1], got {x.min():.4g} to {x.max():.4g}")
    return (rng.random(x.shape, np.float32) < x).astype(x.dtype)


def _check(owner: str, x: Array, rng: Rng, floating: bool = False) -> None:
    generator(owner, rng)
    if np.ndim(x) != 4:
        raise ValueError(f"{owner}: expected `x` of shape (N, H, W, C), got {np.shape(x)}")
    if floating and x.dtype.kind != "f":
        raise TypeError(f"{owner}: expected `x` of floating-point numbers, got {x.dtype}")
