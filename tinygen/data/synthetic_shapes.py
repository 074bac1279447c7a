"""Coloured shapes on colour gradients, drawn from signed distance functions.

    images, labels = shapes(10_000, size=64, rng=np.random.default_rng(0))

A signed distance function gives a point's distance d from an outline, negative inside. The minimum
of two is the union, the maximum the intersection. A shape covers clip(½ − d, 0, 1) of a pixel, with
d in pixels. x points right, y down. Each shape reaches to a distance of 1 from (0, 0).
"""

import math
from collections.abc import Callable

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array, Rng
from tinygen.autograd.parallel import run_jobs
from tinygen.data.batches import Labelled
from tinygen.data.points_2d import balanced

__all__ = ["SHAPES", "box", "cross", "disc", "heart", "moon", "ring", "shapes", "square"]
__all__ += ["star", "triangle"]


def disc(x: Array, y: Array, radius: float = 1.0) -> Array:
    """√(x² + y²) − r"""
    return np.sqrt(x * x + y * y) - radius


def ring(x: Array, y: Array) -> Array:
    """| |p| − 0.72 | − 0.28: the points within 0.28 of a circle"""
    return abs(disc(x, y, 0.72)) - 0.28


def box(x: Array, y: Array, width: float, height: float) -> Array:
    """√(max(u, 0)² + max(v, 0)²) + min(max(u, v), 0), with u = |x| − width and v = |y| − height"""
    u, v = abs(x) - width, abs(y) - height
    return disc(np.maximum(u, 0), np.maximum(v, 0), 0.0) + np.minimum(np.maximum(u, v), 0)


def star(x: Array, y: Array, tips: int = 5, inner: float = 0.45) -> Array:
    """A star with `tips` points at a distance of 1, the first at the top, and notches at `inner`

    By symmetry, every point maps to the sector between a tip at (1, 0) and the next notch, where
    the outline is one segment. With `inner` = cos(π/tips) it is a regular polygon.
    """
    half = math.pi / tips
    angle, r = np.arctan2(x, -y), np.sqrt(x * x + y * y)  # from the first tip, from the centre
    angle = abs(angle - 2 * half * np.rint(angle / (2 * half)))
    p, q = r * np.cos(angle) - 1, r * np.sin(angle)  # from the tip
    u, v = inner * math.cos(half) - 1, inner * math.sin(half)  # from the tip to the notch
    t = np.clip((p * u + q * v) / (u * u + v * v), 0, 1)
    return np.where(p * v - q * u > 0, 1, -1) * disc(p - t * u, q - t * v, 0.0)


def triangle(x: Array, y: Array) -> Array:
    """An equilateral triangle"""
    return star(x, y, 3, math.cos(math.pi / 3))


def square(x: Array, y: Array) -> Array:
    """A square with horizontal and vertical sides"""
    return box(x, y, math.sqrt(0.5), math.sqrt(0.5))


def cross(x: Array, y: Array) -> Array:
    """The union of two boxes. Deep inside, the minimum is only a bound, as for any union."""
    long, short = math.cos(0.32), math.sin(0.32)  # a corner is at a distance of 1
    return np.minimum(box(x, y, long, short), box(x, y, short, long))


def heart(x: Array, y: Array) -> Array:
    """A square standing on a corner, with a disc as wide as a side on each upper side"""
    h = 0.5  # half a side, the discs' radius, and their centres' distance from (0, 0)
    u, v = (x - y) * math.sqrt(0.5), (x + y) * math.sqrt(0.5)  # up and right, down and right
    lobes = np.minimum(disc(u - h, v, h), disc(u, v + h, h))
    return np.minimum(box(u, v, h, h), lobes)


def moon(x: Array, y: Array) -> Array:
    """A disc minus another: the maximum of its distance and the other's negative"""
    return np.maximum(disc(x, y), -disc(x - 0.55, y, 0.75))


KINDS: list[Callable[..., Array]] = [disc, ring, square, triangle, star, cross, heart, moon]
SHAPES = {shape.__name__: shape for shape in KINDS}

DARK, LIGHT = (0.10, 0.38), (0.62, 0.92)  # luminances; the gap between them is the contrast
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of red, green and blue (Rec. 709)
BLOCK = 1 << 16  # pixels drawn at once, to fit in cache


def shapes(n: int, *, size: int = 64, rng: Rng) -> Labelled:
    """Generate n shapes of balanced kinds in random order; label k is the k-th of `SHAPES`.

    A shape is within its image, and lighter or darker than the background by at least 0.24.
    """
    whole("shapes", 8, size=size)
    labels = balanced("shapes", n, len(SHAPES), rng)
    radius = rng.uniform(0.4, 0.8, n)  # in an image from −1 to 1
    middle = rng.uniform(-1, 1, (2, n)) * (1 - radius)
    angles = rng.uniform(0, 2 * math.pi, (2, n))  # of the shape, and of its background's gradient
    placed = np.stack([radius, *middle, *angles]).astype(np.float32)
    colours = _colours(n, rng)
    images, step = np.empty((n, size, size, 3), np.float32), max(1, BLOCK // size**2)
    x, y = centres(size)

    def draw(block: int) -> None:
        i = slice(block * step, (block + 1) * step)
        cover, light = cover_and_light(labels[i], placed[0, i], placed[1:3, i], placed[3, i], size)
        b = placed[4, i, None, None]
        across = (1 + (np.cos(b) * x + np.sin(b) * y) / math.sqrt(2)) / 2
        shape, ground = mixed(colours[i, :2], light), mixed(colours[i, 2:], across)
        images[i] = ground + cover[..., None] * (shape - ground)

    run_jobs(draw, -(-n // step))
    return Labelled(images, labels)


def centres(size: int) -> tuple[Array, Array]:
    """x, (1, size), and y, (size, 1), of the pixels' centres in an image from −1 to 1"""
    at = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    return at[None, :], at[:, None]


def cover_and_light(
    kinds: Array, radius: Array, middle: Array, angle: Array, size: int
) -> tuple[Array, Array]:
    """How much of each pixel a shape covers, and its light from the upper left: (n, size, size)

    `middle` is (2, n), the others are (n,).
    """
    x, y = centres(size)
    r, x0, y0, a = (z[:, None, None] for z in (radius, *middle, angle))
    u, v = (x - x0) / r, (y - y0) / r  # in the shape's coordinates, before rotation
    p, q = np.cos(a) * u + np.sin(a) * v, np.cos(a) * v - np.sin(a) * u  # (n, size, size)
    d = np.empty_like(p)
    for k, distance in enumerate(KINDS):
        d[kinds == k] = distance(p[kinds == k], q[kinds == k])
    light = np.exp(-((u + 0.35) ** 2 + (v + 0.45) ** 2) / 0.8)
    return np.clip(0.5 - d * r * (size / 2), 0, 1), light


def mixed(pair: Array, weight: Array) -> Array:
    """Interpolate between the colours of each pair (n, 2, 3), by `weight` (n, size, size)"""
    first, second = pair[:, None, None, 0], pair[:, None, None, 1]
    return first + weight[..., None] * (second - first)


def _colours(n: int, rng: Rng) -> Array:
    """Four colours per image, (n, 4, 3): the shape in shade and in light, the background's two

    One pair is dark, the other light, and so are all colours interpolated between them.
    """
    dark, light = rng.uniform(*DARK, (n, 2)), rng.uniform(*LIGHT, (n, 2))
    shape_is_light = rng.random((n, 1)) < 0.5
    shape = np.sort(np.where(shape_is_light, light, dark), axis=1)  # shade first
    ground = np.where(shape_is_light, dark, light)
    hue = rng.random((n, 4))
    hue[:, 1] = hue[:, 0] + 0.06  # a shape's hue hardly changes between shade and light
    hue[:, 3] = hue[:, 2] + rng.uniform(-0.2, 0.2, n)
    return _colour(hue, np.concatenate([shape, ground], axis=1))


def _colour(hue: Array, luminance: Array) -> Array:
    """The colour of a hue, 0 to 1 around the circle, mixed with black or white to a luminance"""
    third = np.array([0, 1 / 3, 2 / 3])
    pure = 0.5 + 0.4 * np.cos(2 * math.pi * (hue[..., None] - third))
    has, wanted = (pure @ LUMINANCE)[..., None], luminance[..., None]
    darker, lighter = pure * (wanted / has), 1 - (1 - pure) * ((1 - wanted) / (1 - has))
    return np.where(wanted < has, darker, lighter).astype(np.float32)
