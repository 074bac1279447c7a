"""Coloured shapes on coloured grounds: a set of pictures drawn from signed distance functions.

    images, labels = shapes(10_000, size=64, rng=np.random.default_rng(0))

A signed distance function says how far a point (x, y) is from a shape's outline: above 0 outside,
below 0 inside. Shapes are united by the minimum of theirs, intersected by the maximum; a pixel's
share of the shape is clip(½ − d, 0, 1), with d in pixels. x goes to the right, y down. Each shape
reaches to a distance of 1 from (0, 0).
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
    """| |p| − 0.72 | − 0.28: what is within 0.28 of a circle"""
    return abs(disc(x, y, 0.72)) - 0.28


def box(x: Array, y: Array, width: float, height: float) -> Array:
    """A rectangle that reaches from −width to width, and likewise in height

    u, v is how far a point is beyond the sides: outside, √(u² + v²) over those that are positive;
    inside, the greater, which is the nearer side's.
    """
    u, v = abs(x) - width, abs(y) - height
    return disc(np.maximum(u, 0), np.maximum(v, 0), 0.0) + np.minimum(np.maximum(u, v), 0)


def star(x: Array, y: Array, tips: int = 5, inner: float = 0.45) -> Array:
    """`tips` points at a distance of 1, the first above the middle, and as many notches at `inner`

    Turned and mirrored, every point lies in the sector between a tip (1, 0) and the next notch:
    there the outline is one segment. With `inner` = cos(π/n) it is a regular polygon.
    """
    half = math.pi / tips
    angle, r = np.arctan2(x, -y), np.sqrt(x * x + y * y)  # from the first tip, from the middle
    angle = abs(angle - 2 * half * np.rint(angle / (2 * half)))
    p, q = r * np.cos(angle) - 1, r * np.sin(angle)  # from the tip
    u, v = inner * math.cos(half) - 1, inner * math.sin(half)  # from the tip to the notch
    t = np.clip((p * u + q * v) / (u * u + v * v), 0, 1)
    return np.where(p * v - q * u > 0, 1, -1) * disc(p - t * u, q - t * v, 0.0)


def triangle(x: Array, y: Array) -> Array:
    """The regular polygon of three corners"""
    return star(x, y, 3, math.cos(math.pi / 3))


def square(x: Array, y: Array) -> Array:
    """The regular polygon of four corners, standing on a side"""
    return box(x, y, math.sqrt(0.5), math.sqrt(0.5))


def cross(x: Array, y: Array) -> Array:
    """Two boxes united. Deep inside, the minimum is only a bound, as that of any union."""
    long, short = math.cos(0.32), math.sin(0.32)  # a corner is at a distance of 1
    return np.minimum(box(x, y, long, short), box(x, y, short, long))


def heart(x: Array, y: Array) -> Array:
    """A square on its corner, and on each of its upper sides a disc, as wide as the side is long"""
    h = 0.5  # half a side, and the discs' radius and their middles' distance
    u, v = (x - y) * math.sqrt(0.5), (x + y) * math.sqrt(0.5)  # upwards right, downwards right
    lobes = np.minimum(disc(u - h, v, h), disc(u, v + h, h))
    return np.minimum(box(u, v, h, h), lobes)


def moon(x: Array, y: Array) -> Array:
    """A disc from which another is taken: the maximum of its distance and the other's negative"""
    return np.maximum(disc(x, y), -disc(x - 0.55, y, 0.75))


KINDS: list[Callable[..., Array]] = [disc, ring, square, triangle, star, cross, heart, moon]
SHAPES = {shape.__name__: shape for shape in KINDS}

DARK, LIGHT = (0.10, 0.38), (0.62, 0.92)  # luminances: between the two there is the contrast
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of red, green and blue (Rec. 709)
BLOCK = 1 << 16  # pixels drawn at once: few enough for the cache


def shapes(n: int, *, size: int = 64, rng: Rng) -> Labelled:
    """Draw n shapes, as many of each kind as can be, in random order; the label is the kind.

    Label k is the k-th of `SHAPES`. A shape lies within its image, and is lighter than all of its
    ground or darker, by a luminance of at least 0.24.
    """
    whole("shapes", 8, size=size)
    labels = balanced("shapes", n, len(SHAPES), rng)
    radius = rng.uniform(0.4, 0.8, n)  # of an image that reaches from −1 to 1
    middle = rng.uniform(-1, 1, (2, n)) * (1 - radius)
    angles = rng.uniform(0, 2 * math.pi, (2, n))  # of the shape, and of its ground's slope
    placed = np.stack([radius, *middle, *angles]).astype(np.float32)
    colours = _colours(n, rng)
    images, step = np.empty((n, size, size, 3), np.float32), max(1, BLOCK // size**2)
    at = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1  # the pixels' middles
    x, y = at[None, :], at[:, None]

    def draw(block: int) -> None:
        i = slice(block * step, (block + 1) * step)
        r, x0, y0, a, b = placed[:, i, None, None]
        u, v = (x - x0) / r, (y - y0) / r  # as the shape sees it, not yet turned
        p, q = np.cos(a) * u + np.sin(a) * v, np.cos(a) * v - np.sin(a) * u  # (n, size, size)
        d = np.empty_like(p)
        for k, distance in enumerate(KINDS):
            d[labels[i] == k] = distance(p[labels[i] == k], q[labels[i] == k])
        share = np.clip(0.5 - d * r * (size / 2), 0, 1)
        lit = np.exp(-((u + 0.35) ** 2 + (v + 0.45) ** 2) / 0.8)  # by a lamp, above and to the left
        across = (1 + (np.cos(b) * x + np.sin(b) * y) / math.sqrt(2)) / 2
        shape, ground = _mixed(colours[i, :2], lit), _mixed(colours[i, 2:], across)
        images[i] = ground + share[..., None] * (shape - ground)

    run_jobs(draw, -(-n // step))
    return Labelled(images, labels)


def _mixed(pair: Array, share: Array) -> Array:
    """From one colour to the other of each pair (n, 2, 3), by the share (n, size, size) of that"""
    first, second = pair[:, None, None, 0], pair[:, None, None, 1]
    return first + share[..., None] * (second - first)


def _colours(n: int, rng: Rng) -> Array:
    """Four colours for each image: the shape's in shade and in light, the ground's two: (n, 4, 3)

    One pair is dark, the other light. A mixture's luminance is between theirs: the contrast stays.
    """
    dark, light = rng.uniform(*DARK, (n, 2)), rng.uniform(*LIGHT, (n, 2))
    shape_is_light = rng.random((n, 1)) < 0.5
    shape = np.sort(np.where(shape_is_light, light, dark), axis=1)  # shade first
    ground = np.where(shape_is_light, dark, light)
    hue = rng.random((n, 4))
    hue[:, 1] = hue[:, 0] + 0.06  # in the light a shape's hue is nearly what it is in shade
    hue[:, 3] = hue[:, 2] + rng.uniform(-0.2, 0.2, n)
    return _colour(hue, np.concatenate([shape, ground], axis=1))


def _colour(hue: Array, luminance: Array) -> Array:
    """The colour of a hue, 0 to 1 around the circle, mixed with black or white to a luminance"""
    third = np.array([0, 1 / 3, 2 / 3])
    pure = 0.5 + 0.4 * np.cos(2 * math.pi * (hue[..., None] - third))
    has, wanted = (pure @ LUMINANCE)[..., None], luminance[..., None]
    darker, lighter = pure * (wanted / has), 1 - (1 - pure) * ((1 - wanted) / (1 - has))
    return np.where(wanted < has, darker, lighter).astype(np.float32)
