"""Data augmentation: small random changes that leave the content of an image the same.

    x = augment.shift(augment.flip(x, rng=rng), 2, rng=rng)

Functions map a batch x (N, H, W, C) to a new one of the same dtype, changing each image at random.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, Rng

__all__ = ["binarize", "crop", "flip", "noise", "rotate", "shift"]


def flip(x: Array, *, rng: Rng) -> Array:
    """Mirror each image left to right with probability ½"""
    _check("flip", x, rng)
    flipped = rng.random(len(x)) < 0.5
    return np.where(flipped[:, None, None, None], x[:, :, ::-1], x)


def shift(x: Array, most: int, *, rng: Rng) -> Array:
    """Shift each image by up to `most` whole pixels in height and width, padding with zeros"""
    _check("shift", x, rng)
    whole("shift", 0, most=most)
    return _window(x, x.shape[1], x.shape[2], most, rng)


def crop(x: Array, size: int, *, rng: Rng, padding: int = 0) -> Array:
    """A random `size` × `size` crop of each image, after padding it with zeros on all sides"""
    _check("crop", x, rng)
    whole("crop", 1, size=size)
    whole("crop", 0, padding=padding)
    if size > min(x.shape[1:3]) + 2 * padding:
        raise ValueError(f"crop: expected `size` to fit in `x` {x.shape} plus padding, got {size}")
    return _window(x, size, size, padding, rng)


def _window(x: Array, height: int, width: int, padding: int, rng: Rng) -> Array:
    """A random window of each image, after padding it with zeros on all sides"""
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    windows = sliding_window_view(x, (height, width), axis=(1, 2))  # (N, tops, lefts, C, h, w)
    N, tops, lefts = windows.shape[:3]
    chosen = windows[np.arange(N), rng.integers(tops, size=N), rng.integers(lefts, size=N)]
    return np.ascontiguousarray(np.moveaxis(chosen, 1, 3))


def rotate(x: Array, degrees: float, *, rng: Rng, fill: float = 0.0) -> Array:
    """Rotate each image about its centre by θ ~ U(−degrees, degrees)

    The pixel at (r, c) from the centre, r down, is interpolated bilinearly at
    (r cos θ + c sin θ, c cos θ − r sin θ). Outside the image the value is `fill`.
    """
    _check("rotate", x, rng, floating=True)
    expect("rotate", "≥ 0", degrees=degrees)
    N, H, W, C = x.shape
    theta = np.deg2rad(rng.uniform(-degrees, degrees, N))[:, None, None]  # anticlockwise
    cos, sin = np.cos(theta).astype(np.float32), np.sin(theta).astype(np.float32)
    r = (np.arange(H, dtype=np.float32) - (H - 1) / 2)[:, None]
    c = np.arange(W, dtype=np.float32) - (W - 1) / 2
    # coordinates after padding by one pixel of `fill`; points outside are clipped to it
    row = np.clip(r * cos + c * sin + (H + 1) / 2, 0, H + 1)  # (N, H, W)
    column = np.clip(c * cos - r * sin + (W + 1) / 2, 0, W + 1)
    top, left = np.minimum(row.astype(np.intp), H), np.minimum(column.astype(np.intp), W)
    down, right = (row - top)[..., None], (column - left)[..., None]
    pixels = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=fill).reshape(-1, C)
    at = (np.arange(N)[:, None, None] * (H + 2) + top) * (W + 2) + left  # the upper left neighbour
    upper = pixels[at] * (1 - right) + pixels[at + 1] * right
    lower = pixels[at + W + 2] * (1 - right) + pixels[at + W + 3] * right
    return (upper * (1 - down) + lower * down).astype(x.dtype)


def noise(x: Array, sigma: float, *, rng: Rng) -> Array:
    """x + σ ε, ε ~ N(0, I), not clipped, so that the noise stays Gaussian"""
    _check("noise", x, rng, floating=True)
    expect("noise", "≥ 0", sigma=sigma)
    return (x + sigma * rng.standard_normal(x.shape, np.float32)).astype(x.dtype)


def binarize(x: Array, *, rng: Rng) -> Array:
    """Each pixel is 1 with probability x ∈ [0, 1], otherwise 0 (Salakhutdinov & Murray 2008)"""
    _check("binarize", x, rng, floating=True)
    if x.size and not (x.min() >= 0 and x.max() <= 1):  # rejects NaN too
        raise ValueError(f"binarize: expected `x` in [0, 1], got {x.min():.4g} to {x.max():.4g}")
    return (rng.random(x.shape, np.float32) < x).astype(x.dtype)


def _check(owner: str, x: Array, rng: Rng, floating: bool = False) -> None:
    generator(owner, rng)
    if np.ndim(x) != 4:
        raise ValueError(f"{owner}: expected `x` of shape (N, H, W, C), got {np.shape(x)}")
    if floating and x.dtype.kind != "f":
        raise TypeError(f"{owner}: expected floating-point `x`, got {x.dtype}")
