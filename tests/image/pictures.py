"""Plots of every kind, and how to read them back."""

import itertools
import math

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from tinygen import image

EDGE, GAP, HEAD = 6, 2, 18  # white around, between tiles; a line of labels
SCALE = 8  # of small images
VERMILION, BLUE = ([round(255 * v) for v in to_rgb(c)] for c in ("#D55E00", "#0072B2"))


def read(path):
    """The picture's pixels: (height, width, 3), or (height, width) where all are grey."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).copy()
    return pixels[..., 0] if (pixels == pixels[..., :1]).all() else pixels


def colours(path):
    pixels = read(path)
    return pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=-1)


def random_images(rng, *shape):
    return rng.uniform(size=shape).astype(np.float32)


def enlarged(x, scale):
    """An image as bytes, each pixel a square, by a loop."""
    height, width, channels = x.shape
    large = np.zeros((height * scale, width * scale, channels), int)
    for i, j in itertools.product(range(height * scale), range(width * scale)):
        for c in range(channels):
            large[i, j, c] = math.floor(float(x[i // scale, j // scale, c]) * 255 + 0.5)
    return large


def gaussian(p):
    return np.exp(-(np.asarray(p) ** 2).sum(axis=1) / 2) / (2 * np.pi)


GREY = np.linspace(0, 1, 6 * 5 * 4, dtype=np.float32).reshape(6, 5, 4, 1)
CLOUD = np.random.default_rng(1).normal(size=(40, 2))
EVERY = {
    "grid": lambda *where, **more: image.grid(*where, GREY, **more),
    "compare": lambda *where, **more: image.compare(*where, {"a": GREY, "b": 1 - GREY}, **more),
    "strip": lambda *where, **more: image.strip(*where, GREY.reshape(2, 3, 5, 4, 1), **more),
    "manifold": lambda *where, **more: image.manifold(
        *where, lambda z: np.full((len(z), 3, 3, 1), 0.5), side=4, **more
    ),
    "curves": lambda *where, **more: image.curves(*where, {"a": [3.0, 2.0, 1.5]}, **more),
    "points": lambda *where, **more: image.points(*where, CLOUD, truth=CLOUD + 1, **more),
    "density": lambda *where, **more: image.density(*where, gaussian, CLOUD, **more),
    "plane": lambda *where, **more: image.plane(*where, CLOUD, np.arange(40) % 3, **more),
}


def ink(picture):
    """The rows and columns where the picture is not white."""
    dark = picture.reshape(*picture.shape[:2], -1).min(axis=-1) < 255
    return np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
