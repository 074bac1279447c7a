"""Digits that look handwritten, drawn from strokes: a set like MNIST that needs no download.

    images, labels = digits(60_000, rng=np.random.default_rng(0))

A digit begins as a skeleton, a few points that a pen is drawn towards. The points are jittered and
a smooth curve is laid along them; the plane is bent, turned, slanted and stretched; the pen's width
varies on its way. Then the digit is set as MNIST's are: scaled into a box of 20 × 20 pixels, and
its ink's centre of mass moved to the middle of 28 × 28. Ink is 1, paper 0.

Pixels have a mean of 0.131 and a standard deviation of 0.311; MNIST's have 0.1307 and 0.3081. A
small convolutional network trained on 60,000 drawn digits reads 96 % of MNIST's test images.

Every step is done for a block of n digits at once. A curve has S straight segments, of which
`ends` (n, 2S, 2) holds where each begins, then where each ends: x to the right, y down.

Reading order: `SKELETONS`; `digits`; `_block`, which names the steps; then each step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinygen._types import Array, Rng
from tinygen.autograd.parallel import share_out
from tinygen.data.points_2d import balanced, checked

__all__ = ["SKELETONS", "Digits", "digits"]


SIZE, BOX = 28, 20  # the side of the image, and of the box that the ink is scaled into
CANVAS = BOX + 2  # the side of what is drawn on, before it is placed in the image
S = 40  # segments in a curve
SOFTNESS = 1.0  # pixels over which a stroke's edge goes from 1 to 0
BLOCK = 40  # digits: few enough for the cache. Each block has its own random stream

# Each way to write a digit, as points "xy" on a lattice of 10 × 10 with "00" at the top left. A
# stroke is a smooth curve through its points; "|" lifts the pen, or turns a corner.
SKELETONS: dict[int, tuple[str, ...]] = {
    0: (
        "50 12 07 49 97 82 40",  # an oval, closed
        "71 30 04 28 69 96 82 40 22",  # the end inside, past the start
        "50 12 05 28 59 88 94 72 40 20",  # begun at the top, ended before it
        "10 04 17 49 88 94 71 40",  # begun at the left
    ),
    1: (
        "50 59",  # a bar
        "60 54 59",  # bent
        "40 55 59",  # the other way
        "23 50|50 59",  # with an upstroke
        "22 50|50 59|29 89",  # and a base
    ),
    2: (
        "12 20 70 84 47 09|09 59 99",  # a corner at the foot
        "02 20 70 93 56 19 08 16 47 79 98",  # a loop
        "03 10 70 93 57 19 07 26 57 88 97",  # a large loop
        "11 50 92 56 09 38 79 98",  # a soft foot
        "21 40 61 54 28 08 06 36 68 99",  # small above a long tail
        "22 40 72 55 09|09 49 98",
    ),
    3: (
        "01 30 91 83 34|34 84 98 59 08",  # two bows that meet in a corner
        "10 50 81 53|53 85 78 39 08",  # in a shallow one
        "11 30 81 63 34 64 96 88 39 08",  # softly
        "00 80|80 44|44 84 97 59 08",  # a flat top
        "01 40 91 53 24 64 76 79 09",  # a small upper bow, a falling lower one
        "02 30 80 73 44|44 75 77 59 29 06 25",  # a curl at the end
    ),
    4: (
        "20 14 05|05 45 95|80 65 59",  # open
        "80 35 06|06 95|72 59",  # wide
        "30 14 15|15 54 83|90 75 49",  # narrow, on a long tail
        "10 03 15 55 84|90 74 69",  # a cup and a stem
        "00 04 06 56 94 90|90 75 69",  # in one stroke
        "70 34 06|06 56 96|70 65 69",  # closed
    ),
    5: (
        "20 14|14 53 96 78 39 08|20 90",  # the cap last
        "90 20|20 13|13 53 96 68 39 08",  # in one stroke
        "60 30 02 24 65 77 59 18",  # like an S
        "90 30 02 44 75 78 49 08",  # a larger one
        "90 20 04|04 33 85 88 49 17",  # a wide bow
        "90 40|40 34|34 64 76 69 08",  # a narrow one
    ),
    6: (
        "70 32 06 18 49 88 75 44 16",  # closed
        "50 13 06 29 79 97 64 34 07",  # a round bow
        "40 03 07 49 99 96 74 36 28",  # a wide one, rolled in
        "80 33 08 39 78 76 46 27",  # a flat one
        "50 14 18 39 68 76 45 18",  # a narrow one
    ),
    7: (
        "01 40 90|90 64 49",  # a corner
        "00 90|90 55 39|24 85",  # with a bar
        "02 01 30 90 65 49|25 85",  # and a soft start
        "03 00|00 90|90 54 49",  # with a serif
        "02 20 80 92 65 39",  # no corner
    ),
    8: (
        "81 40 01 24 66 98 59 08 05 63 91 60",  # an S, and back up
        "90 40 02 34 87 79 29 07 45 82 80 40",  # closed at the top
        "72 80 40 22 44 77 59 28 36 63 91",  # open there
        "91 50 22 33 65 67 49 37 55 82",  # narrow
        "90 46 08 39 77 55 12 20 50 90",  # down first
        "60 20 02 34 64 82 50 20|44 06 09 59 97 64 34",  # two rings
    ),
    9: (
        "81 50 11 04 25 54 82 81|81 75 69",  # a straight stem
        "70 20 03 15 55 82 70|82 76 69",  # lifted before it
        "70 20 03 16 56 83 80|80 77 79",  # a large loop
        "80 40 12 24 54 71 80|80 65 49",  # a small one
        "81 40 02 15 55 82 80 86 69 28",  # a hook
        "81 30 03 25 64 81|81 87 58 19",  # a bow
    ),
}


class Digits(NamedTuple):
    """`images` (n, 28, 28, 1), float32 in [0, 1], and `labels` (n,), the digits, int64."""

    images: Array
    labels: Array


def digits(n: int, *, rng: Rng, labels: Any = None) -> Digits:
    """Draw n digits: as many of each kind as can be, in random order; or those that `labels` says.

    The state of `rng` decides what comes, and nothing else: not the number of threads either.
    """
    n = checked("digits", n, rng)
    kinds = balanced(n, 10, rng=rng) if labels is None else _digits_of(labels, n)
    images = np.empty((n, SIZE, SIZE, 1), np.float32)
    starts = range(0, n, BLOCK)
    # not rng.spawn: it counts its children beside the state, and a restored state would not know
    streams = np.random.SeedSequence(rng.integers(2**32, size=4).tolist()).spawn(len(starts))

    def draw(k: int) -> None:
        block = slice(starts[k], starts[k] + BLOCK)
        images[block, ..., 0] = _block(kinds[block], np.random.default_rng(streams[k]))

    share_out(draw, len(starts))
    return Digits(images, kinds)


def _digits_of(labels: Any, n: int) -> Array:
    given = np.asarray(labels)
    if given.shape not in {(), (n,)}:
        raise ValueError(
            f"digits: expected `labels` to be one digit or {n}, got shape {given.shape}"
        )
    if given.size and given.dtype.kind not in "iu":
        raise TypeError(f"digits: expected `labels` of integers, got {given.dtype}")
    wrong = given[(given < 0) | (given > 9)]
    if wrong.size:
        raise ValueError(f"digits: expected `labels` from 0 to 9, got {wrong[0]}")
    return np.broadcast_to(given, n).astype(np.int64)


def _block(labels: Array, rng: Rng) -> Array:
    """An image of each label: (n,) → (n, 28, 28)"""
    radius = _radius(len(labels), rng)
    ends = _curves(labels, rng)
    ends = _bend(ends, rng)
    ends = _tilt(ends, rng)
    ends = _place(ends, radius)
    return _centred(_ink(ends, _uneven(radius, rng)))


# --- a skeleton is a matrix from points to a curve ------------------------------------------------


def _spline(t: Array, K: int) -> Array:
    """The matrix from K points to a curve drawn towards them, at t from 0 to K − 1: (T, K)

    The uniform cubic B-spline: between p₁ and p₂, with p₀ before and p₃ after them and u in [0, 1],
    ⅙ [(1 − u)³ p₀ + (3u³ − 6u² + 4) p₁ + (−3u³ + 3u² + 3u + 1) p₂ + u³ p₃]
    """
    i = np.minimum(t.astype(int), K - 2)
    u = t - i
    weights = (
        np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3])
        / 6
    )
    # as if the points went straight on, p₋₁ = 2p₀ − p₁: so the curve begins and ends in one
    points = np.eye(K + 2, K, -1)
    points[0, :2], points[-1, -2:] = (2, -1), (-1, 2)
    return np.einsum("jt,tjk->tk", weights, points[i[:, None] + np.arange(4)])


def _skeleton(strokes: str) -> tuple[Array, Array]:
    """The K different points of a skeleton, (K, 2), and the matrix from them to `ends`, (2S, K)

    Long strokes get more segments. What coincides is one point, so that corners stay closed.
    """
    names = list(dict.fromkeys(strokes.replace("|", " ").split()))
    points = np.array([[int(name[0]), int(name[1])] for name in names]) / 9
    paths = [[names.index(each) for each in stroke.split()] for stroke in strokes.split("|")]
    lengths = [np.hypot(*np.diff(points[path], axis=0).T).sum() for path in paths]
    marks = np.rint(S * np.cumsum([0, *lengths]) / sum(lengths)).astype(int)
    starts, stops = [], []
    for path, share in zip(paths, np.diff(marks), strict=True):
        t = np.linspace(0, len(path) - 1, share + 1)
        curve = _spline(t, len(path)) @ np.eye(len(names))[path]
        starts.append(curve[:-1])
        stops.append(curve[1:])
    return points.astype(np.float32), np.concatenate(starts + stops).astype(np.float32)


def _table() -> tuple[Array, Array, Array, Array]:
    """All skeletons, filled up to one K with zeros; where each digit's begin; how many it has"""
    made = [_skeleton(strokes) for ways in SKELETONS.values() for strokes in ways]
    K = max(len(points) for points, _ in made)
    points, matrices = (np.zeros((len(made), *shape), np.float32) for shape in [(K, 2), (2 * S, K)])
    for i, (p, matrix) in enumerate(made):
        points[i, : len(p)], matrices[i, :, : len(p)] = p, matrix
    counts = np.array([len(ways) for ways in SKELETONS.values()])
    return points, matrices, np.cumsum(counts) - counts, counts


POINTS, MATRICES, FIRST, COUNTS = _table()


# --- from the skeleton to a curve on the canvas ---------------------------------------------------


def _curves(labels: Array, rng: Rng) -> Array:
    """One of the label's skeletons, its points jittered, as a curve"""
    which = FIRST[labels] + rng.integers(COUNTS[labels])
    points = POINTS[which]  # (n, K, 2)
    points = points + 0.03 * rng.standard_normal(points.shape, np.float32)
    return MATRICES[which] @ points


def _bend(ends: Array, rng: Rng) -> Array:
    """p ← p + a sin(2π (f·p + φ)), three times: waves, mostly longer than the digit is high"""
    n = len(ends)
    for _ in range(3):
        a = 0.045 * rng.standard_normal((n, 1, 2), np.float32)
        f = 0.6 * rng.standard_normal((n, 2, 1), np.float32)
        phase = rng.random((n, 1, 1), np.float32)
        ends = ends + a * np.sin(2 * math.pi * (ends @ f + phase))
    return ends


def _tilt(ends: Array, rng: Rng) -> Array:
    """p ← p A with A = [[w, 0], [−s, 1]] [[cos θ, sin θ], [−sin θ, cos θ]]: width, slant, turn"""
    n = len(ends)
    w = 0.75 * np.exp(0.2 * rng.standard_normal(n))
    s = 0.12 + 0.22 * rng.standard_normal(n)
    theta = 0.13 * rng.standard_normal(n)
    slant = np.array([[w, np.zeros(n)], [-s, np.ones(n)]]).transpose(2, 0, 1)
    turn = np.array([[np.cos(theta), np.sin(theta)], [-np.sin(theta), np.cos(theta)]])
    return ends @ (slant @ turn.transpose(2, 0, 1)).astype(np.float32)


def _place(ends: Array, radius: Array) -> Array:
    """Scale what the pen will cover to the box, in the middle of the canvas."""
    low, high = ends.min(axis=1, keepdims=True), ends.max(axis=1, keepdims=True)
    room = BOX - SOFTNESS - 2 * radius[:, None, None]
    scale = room / (high - low).max(axis=2, keepdims=True)
    return (ends - (low + high) / 2) * scale + (CANVAS - 1) / 2


# --- the pen --------------------------------------------------------------------------------------


def _radius(n: int, rng: Rng) -> Array:
    """Half the pen's width, in pixels: (n,)"""
    return 1.25 * np.exp(0.25 * rng.standard_normal(n, np.float32))


def _uneven(radius: Array, rng: Rng) -> Array:
    """r ← r (1 + a sin(2π (f l + φ))), with l from 0 to 1 along the strokes: (n,) → (n, S)"""
    n, l = len(radius), np.linspace(0, 1, S, dtype=np.float32)
    a, f = 0.12 * rng.standard_normal((n, 1), np.float32), rng.standard_normal((n, 1), np.float32)
    phase = rng.random((n, 1), np.float32)
    return radius[:, None] * (1 + a * np.sin(2 * math.pi * (f * l + phase)))


def _ink(ends: Array, radius: Array) -> Array:
    """The greatest of clip(½ + (r − d) / softness, 0, 1) over the segments: (n, 22, 22)

    d is a pixel's distance from a segment of length L. If the pixel lies s along the segment's line
    from its start and h beside it, d² = h² + (s − t)², where t is s clipped to [0, L].
    """
    start, stop = ends[:, :S], ends[:, S:]
    along = stop - start
    along[..., 0] += 1e-9  # so that a dot has a direction too
    L = np.linalg.norm(along, axis=2, keepdims=True)
    u, v = np.moveaxis(along / L, 2, 0)[..., None]  # the direction
    x, y = np.arange(CANVAS, dtype=np.float32) - np.moveaxis(start, 2, 0)[..., None]  # (n, S, 22)
    s = _outer_sum(y * v, x * u)
    h = _outer_sum(y * u, -x * v)
    beyond = s - np.clip(s, 0, L)
    d = np.sqrt(h * h + beyond * beyond)
    deepest = (radius[..., None] - d).max(axis=1)
    ink = np.clip(0.5 + deepest / SOFTNESS, 0, 1)
    return ink.reshape(-1, CANVAS, CANVAS)


def _outer_sum(down: Array, across: Array) -> Array:
    """For each pixel, its row's part and its column's: (n, S, 22), (n, S, 22) → (n, S, 484)"""
    return (down[..., :, None] + across[..., None, :]).reshape(*down.shape[:2], -1)


def _centred(ink: Array) -> Array:
    """The canvas in 28 × 28, its ink's centre of mass, to the nearest pixel, at pixel (14, 14)"""
    at, margin = np.arange(CANVAS, dtype=np.float32), SIZE // 2
    mass = ink.sum(axis=(1, 2))
    row, column = ink.sum(axis=2) @ at / mass, ink.sum(axis=1) @ at / mass
    wide = np.pad(ink, [(0, 0), (margin, margin), (margin, margin)])
    # with a margin of 14, what is at pixel r of the canvas comes to 14 in the image begun at r
    down, across = (np.rint(each).astype(int)[:, None] + np.arange(SIZE) for each in (row, column))
    return wide[np.arange(len(ink))[:, None, None], down[:, :, None], across[:, None, :]]
