"""Scenes of one or two shapes with captions like "a small red star above a large blue ring".

    images, captions, facts = scenes(10_000, size=64, rng=np.random.default_rng(0))

A shape of the k-th kind never has the k-th colour, except for one shape in each `unseen` scene.
Such scenes test whether a model can combine words in ways that it has never seen.
"""

import math
from typing import NamedTuple

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array, Rng
from tinygen.autograd.parallel import run_jobs
from tinygen.data.synthetic_shapes import BLOCK, SHAPES, centres, cover_and_light, mixed

__all__ = ["ARRANGEMENTS", "COLOURS", "SIZES", "VOCABULARY", "Scenes", "scenes"]

COLOURS = {
    "red": (0.88, 0.10, 0.12),
    "orange": (1.00, 0.52, 0.05),
    "yellow": (1.00, 0.90, 0.15),
    "green": (0.10, 0.65, 0.20),
    "blue": (0.12, 0.30, 0.92),
    "purple": (0.60, 0.15, 0.75),
    "white": (0.98, 0.98, 0.98),
    "black": (0.05, 0.05, 0.05),
}
SIZES = {"small": (0.29, 0.33), "large": (0.42, 0.47)}  # radii, in an image from −1 to 1
ARRANGEMENTS = {  # centres of the first shape, and of the second if there is one
    "on the left": ((-0.5, 0.0), None),
    "on the right": ((0.5, 0.0), None),
    "at the top": ((0.0, -0.5), None),
    "at the bottom": ((0.0, 0.5), None),
    "in the middle": ((0.0, 0.0), None),
    "above": ((0.0, -0.5), (0.0, 0.5)),
    "left of": ((-0.5, 0.0), (0.5, 0.0)),
}
SINGLE = 5  # arrangements of one shape
OPPOSITE = {"above": "below", "left of": "right of"}  # with the second shape named first
VOCABULARY = " ".join(["a an and", *SIZES, *COLOURS, *SHAPES, *ARRANGEMENTS, *OPPOSITE.values()])
NAMES = (list(SIZES), list(COLOURS), list(SHAPES))  # of a shape's three facts
OMITTED = (0.2, 0.3, 0.1)  # probabilities: arrangement, size, colour
JITTER, ACROSS = 0.03, 0.2  # largest shift of a coordinate of a centre: if it is ±0.5, and if 0
TILT = 0.3  # largest rotation, in radians
GROUND, TINT = (0.35, 0.65), 0.08  # the background's greys, and a channel's largest deviation


class Scenes(NamedTuple):
    """Images (N, H, W, 3) in [0, 1], their captions, and their facts, ints (N, 7)

    The columns are the arrangement, and size, colour and shape of each shape, as indices into
    `ARRANGEMENTS`, `SIZES`, `COLOURS` and `SHAPES`. The first shape is the upper or left one; −1
    stands for a missing second shape.
    """

    images: Array
    captions: list[str]
    facts: Array


def scenes(n: int, *, size: int = 64, rng: Rng, unseen: bool = False, full: bool = False) -> Scenes:
    """Draw n random scenes; captions omit some of the facts, unless they are `full`."""
    whole("scenes", 0, n=n)
    whole("scenes", 8, size=size)
    facts = _facts(n, unseen, rng)
    said = rng.random((n, 5)) >= (0.0 if full else np.array(OMITTED)[[0, 1, 2, 1, 2]])
    swapped = rng.random(n) < 0.5
    captions = [_caption(*row) for row in zip(facts.tolist(), said.tolist(), swapped, strict=True)]
    return Scenes(_draw(facts, size, rng), captions, facts)


def _facts(n: int, unseen: bool, rng: Rng) -> Array:
    second = rng.random(n) < 0.5  # has a second shape
    arrangement = rng.integers(
        np.where(second, SINGLE, 0), np.where(second, len(ARRANGEMENTS), SINGLE)
    )
    size, shape = rng.integers(0, len(SIZES), (2, n)), rng.integers(0, len(SHAPES), (2, n))
    shift = rng.integers(1, len(COLOURS), (2, n))
    if unseen:
        shift[rng.integers(0, 1 + second), np.arange(n)] = 0
    objects = np.stack([size, (shape + shift) % len(COLOURS), shape], axis=2)  # (2, n, 3)
    objects[1, ~second] = -1
    return np.column_stack([arrangement, *objects])


def _caption(facts: list[int], said: list[bool], swapped: bool) -> str:
    """`said`: whether the caption has the arrangement, and each shape's size and colour"""
    words, one = list(ARRANGEMENTS)[facts[0]], _phrase(facts[1:4], said[1:3])
    if facts[0] < SINGLE:
        return f"{one} {words}" if said[0] else one
    other = _phrase(facts[4:7], said[3:5])
    if not said[0]:
        words = "and"
    if swapped:
        one, other, words = other, one, OPPOSITE.get(words, words)
    return f"{one} {words} {other}"


def _phrase(facts: list[int], said: list[bool]) -> str:
    words = [names[fact] for names, fact in zip(NAMES, facts, strict=True)]
    words = [word for word, say in zip(words, [*said, True], strict=True) if say]
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def _draw(facts: Array, size: int, rng: Rng) -> Array:
    """The images, with random radii, places, rotations and backgrounds that suit the facts"""
    n = len(facts)
    images, step = np.empty((n, size, size, 3), np.float32), max(1, BLOCK // size**2)
    spots = np.array([(a, b or a) for a, b in ARRANGEMENTS.values()])[facts[:, 0]]  # (n, 2, 2)
    spots = spots + np.where(spots == 0, ACROSS, JITTER) * rng.uniform(-1, 1, spots.shape)
    low, high = np.array(list(SIZES.values()))[facts[:, 1::3]].transpose(2, 0, 1)  # (n, 2) each
    placed = np.stack([*spots.T, rng.uniform(low, high).T, rng.uniform(-TILT, TILT, (2, n))])
    x0, y0, radius, tilt = placed.astype(np.float32)  # (2, n) each
    grey = rng.uniform(*GROUND, (n, 2, 1)) + rng.uniform(-TINT, TINT, (n, 2, 3))
    direction = rng.uniform(0, 2 * math.pi, (n, 1, 1)).astype(np.float32)
    colours = np.array(list(COLOURS.values()), np.float32)[facts[:, 2::3]]  # (n, 2, 3)
    x, y = centres(size)

    def draw(block: int) -> None:
        i = np.arange(block * step, min(n, (block + 1) * step))
        across = (1 + (np.cos(direction[i]) * x + np.sin(direction[i]) * y) / math.sqrt(2)) / 2
        images[i] = mixed(grey[i].astype(np.float32), across)
        for k, kinds in enumerate(facts[:, 3::3].T):
            j = i[kinds[i] >= 0]  # the images that have a k-th shape
            middle = np.stack([x0[k, j], y0[k, j]])
            cover, light = cover_and_light(kinds[j], radius[k, j], middle, tilt[k, j], size)
            pair = np.stack([0.75 * colours[j, k], 0.85 * colours[j, k] + 0.15], axis=1)
            images[j] += cover[..., None] * (mixed(pair, light) - images[j])

    run_jobs(draw, -(-n // step))
    return images
