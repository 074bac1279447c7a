"""Synthetic handwritten digits, drawn from strokes: a set like MNIST that needs no download.

    images, labels = digits(60_000, rng=np.random.default_rng(0))

A digit starts as a skeleton, the control points of a smooth curve. The points are jittered, and the
curve is bent, rotated, slanted and stretched. As in MNIST, the digit is then scaled into 20 × 20
pixels, and its centre of mass is moved to the middle of 28 × 28.

Each function handles a block of n digits at once. A curve has S straight segments. `ends`
(n, 2S, 2) has the points where they start, then where they end: x to the right, y down.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd.parallel import run_jobs
from tinygen.data.batches import Labelled
from tinygen.data.points_2d import balanced

__all__ = ["SKELETONS", "digits"]

SIZE, BOX = 28, 20  # side of the image, and of the box that the digit is scaled into
CANVAS = BOX + 2  # side of the drawing, before it is placed in the image
S = 40  # segments in a curve
SOFTNESS = 1.0  # pixels over which a stroke's edge fades from 1 to 0
BLOCK = 40  # digits per block, to fit in cache; each block has its own random stream

# Several skeletons per digit, as points "xy" on a 10 × 10 lattice with "00" at the top left. A
# stroke is a smooth curve along its points; "|" starts a new one, elsewhere or at a corner.
TABLE = """
50 12 07 49 97 82 40, 71 30 04 28 69 96 82 40 22, 50 12 05 28 59 88 94 72 40 20,
10 04 17 49 88 94 71 40;
50 59, 60 54 59, 40 55 59, 23 50|50 59, 22 50|50 59|29 89;
12 20 70 84 47 09|09 59 99, 02 20 70 93 56 19 08 16 47 79 98, 03 10 70 93 57 19 07 26 57 88 97,
11 50 92 56 09 38 79 98, 21 40 61 54 28 08 06 36 68 99, 22 40 72 55 09|09 49 98;
01 30 91 83 34|34 84 98 59 08, 10 50 81 53|53 85 78 39 08, 11 30 81 63 34 64 96 88 39 08,
00 80|80 44|44 84 97 59 08, 01 40 91 53 24 64 76 79 09, 02 30 80 73 44|44 75 77 59 29 06 25;
20 14 05|05 45 95|80 65 59, 80 35 06|06 95|72 59, 30 14 15|15 54 83|90 75 49,
10 03 15 55 84|90 74 69, 00 04 06 56 94 90|90 75 69, 70 34 06|06 56 96|70 65 69;
20 14|14 53 96 78 39 08|20 90, 90 20|20 13|13 53 96 68 39 08, 60 30 02 24 65 77 59 18,
90 30 02 44 75 78 49 08, 90 20 04|04 33 85 88 49 17, 90 40|40 34|34 64 76 69 08;
70 32 06 18 49 88 75 44 16, 50 13 06 29 79 97 64 34 07, 40 03 07 49 99 96 74 36 28,
80 33 08 39 78 76 46 27, 50 14 18 39 68 76 45 18;
01 40 90|90 64 49, 00 90|90 55 39|24 85, 02 01 30 90 65 49|25 85, 03 00|00 90|90 54 49,
02 20 80 92 65 39;
81 40 01 24 66 98 59 08 05 63 91 60, 90 40 02 34 87 79 29 07 45 82 80 40,
72 80 40 22 44 77 59 28 36 63 91, 91 50 22 33 65 67 49 37 55 82, 90 46 08 39 77 55 12 20 50 90,
60 20 02 34 64 82 50 20|44 06 09 59 97 64 34;
81 50 11 04 25 54 82 81|81 75 69, 70 20 03 15 55 82 70|82 76 69, 70 20 03 16 56 83 80|80 77 79,
80 40 12 24 54 71 80|80 65 49, 81 40 02 15 55 82 80 86 69 28, 81 30 03 25 64 81|81 87 58 19
"""
SKELETONS = {digit: ways.split(",") for digit, ways in enumerate(TABLE.split(";"))}


def digits(n: int, *, rng: Rng, labels: ArrayLike | None = None) -> Labelled:
    """Generate n digits: balanced classes in random order, or the given `labels`.

    Ink is 1, paper 0. Images depend on the state of `rng` only, not on the number of threads.
    """
    kinds = np.asarray(balanced("digits", n, 10, rng) if labels is None else labels)
    if kinds.dtype.kind not in "iu" or not np.isin(kinds, np.arange(10)).all():
        raise ValueError(f"digits: expected `labels` from 0 to 9, got {labels}")
    kinds = np.broadcast_to(kinds, n).astype(np.int64)
    images, starts = np.empty((n, SIZE, SIZE, 1), np.float32), range(0, n, BLOCK)
    # not rng.spawn, whose count of children is not part of the state that checkpoints save
    streams = np.random.SeedSequence(rng.integers(2**32, size=4).tolist()).spawn(len(starts))

    def draw(k: int) -> None:
        block, rng = slice(starts[k], starts[k] + BLOCK), np.random.default_rng(streams[k])
        pen = rng.standard_normal(len(kinds[block]), np.float32)
        radius = 1.25 * np.exp(0.25 * pen)  # half the pen's width, in pixels: (n,)
        ends = _place(_tilt(_bend(_curves(kinds[block], rng), rng), rng), radius)
        images[block, ..., 0] = _centred(_ink(ends, _uneven(radius, rng)))

    run_jobs(draw, len(starts))
    return Labelled(images, kinds)


def _spline(t: Array, K: int) -> Array:
    """The matrix (T, K) from K points to their uniform cubic B-spline at t from 0 to K − 1

    Between p₁ and p₂, with p₀ before and p₃ after them and u in [0, 1], the curve is
    ⅙ [(1 − u)³ p₀ + (3u³ − 6u² + 4) p₁ + (−3u³ + 3u² + 3u + 1) p₂ + u³ p₃]
    """
    i = np.minimum(t.astype(int), K - 2)
    u = t - i
    w = [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]
    # extrapolated points, such as p₋₁ = 2p₀ − p₁, make the curve start and end at a point
    points = np.eye(K + 2, K, -1)
    points[0, :2], points[-1, -2:] = (2, -1), (-1, 2)
    return np.einsum("jt,tjk->tk", np.stack(w) / 6, points[i[:, None] + np.arange(4)])


def _skeleton(strokes: str) -> tuple[Array, Array]:
    """The K distinct points of a skeleton, (K, 2), and the matrix from them to `ends`, (2S, K)

    Longer strokes get more segments. Equal points are merged, so that corners stay closed.
    """
    names = list(dict.fromkeys(strokes.replace("|", " ").split()))
    points = np.array([[int(name[0]), int(name[1])] for name in names]) / 9
    paths = [[names.index(point) for point in stroke.split()] for stroke in strokes.split("|")]
    lengths = [np.hypot(*np.diff(points[path], axis=0).T).sum() for path in paths]
    marks = np.rint(S * np.cumsum([0, *lengths]) / sum(lengths)).astype(int)
    starts, stops = [], []
    for path, segments in zip(paths, np.diff(marks), strict=True):
        t = np.linspace(0, len(path) - 1, segments + 1)
        curve = _spline(t, len(path)) @ np.eye(len(names))[path]
        starts.append(curve[:-1])
        stops.append(curve[1:])
    return points.astype(np.float32), np.concatenate(starts + stops).astype(np.float32)


# all skeletons, padded with zeros to the same K; each digit's number of them, and its first
PARSED = [_skeleton(strokes) for ways in SKELETONS.values() for strokes in ways]
COUNTS = np.array([len(ways) for ways in SKELETONS.values()])
FIRST = np.cumsum(COUNTS) - COUNTS
K = max(len(points) for points, _ in PARSED)
POINTS = np.stack([np.pad(points, [(0, K - len(points)), (0, 0)]) for points, _ in PARSED])
MATRICES = np.stack([np.pad(m, [(0, 0), (0, K - m.shape[1])]) for _, m in PARSED])


def _curves(labels: Array, rng: Rng) -> Array:
    """A random skeleton of each label, with jittered points, as a curve"""
    which = FIRST[labels] + rng.integers(COUNTS[labels])
    points = POINTS[which]  # (n, K, 2)
    points = points + 0.03 * rng.standard_normal(points.shape, np.float32)
    return MATRICES[which] @ points


def _bend(ends: Array, rng: Rng) -> Array:
    """p ← p + a sin(2π (f·p + φ)), three times: waves, mostly longer than the digit"""
    n = len(ends)
    for _ in range(3):
        a = 0.045 * rng.standard_normal((n, 1, 2), np.float32)
        f = 0.6 * rng.standard_normal((n, 2, 1), np.float32)
        phase = rng.random((n, 1, 1), np.float32)
        ends = ends + a * np.sin(2 * math.pi * (ends @ f + phase))
    return ends


def _tilt(ends: Array, rng: Rng) -> Array:
    """p ← p A with A = [[w, 0], [−s, 1]] [[cos θ, sin θ], [−sin θ, cos θ]]: width, slant, angle"""
    n = len(ends)
    w = 0.75 * np.exp(0.2 * rng.standard_normal(n))
    s = 0.12 + 0.22 * rng.standard_normal(n)
    theta = 0.13 * rng.standard_normal(n)
    slant = np.array([[w, np.zeros(n)], [-s, np.ones(n)]]).transpose(2, 0, 1)
    turn = np.array([[np.cos(theta), np.sin(theta)], [-np.sin(theta), np.cos(theta)]])
    return ends @ (slant @ turn.transpose(2, 0, 1)).astype(np.float32)


def _place(ends: Array, radius: Array) -> Array:
    """Scale the digit, with the width of the pen, to the box in the middle of the canvas."""
    low, high = ends.min(axis=1, keepdims=True), ends.max(axis=1, keepdims=True)
    room = BOX - SOFTNESS - 2 * radius[:, None, None]
    scale = room / (high - low).max(axis=2, keepdims=True)
    return (ends - (low + high) / 2) * scale + (CANVAS - 1) / 2


def _uneven(radius: Array, rng: Rng) -> Array:
    """r ← r (1 + a sin(2π (f l + φ))), with l from 0 to 1 along the strokes: (n,) → (n, S)"""
    n, l = len(radius), np.linspace(0, 1, S, dtype=np.float32)
    a, f = 0.12 * rng.standard_normal((n, 1), np.float32), rng.standard_normal((n, 1), np.float32)
    phase = rng.random((n, 1), np.float32)
    return radius[:, None] * (1 + a * np.sin(2 * math.pi * (f * l + phase)))


def _ink(ends: Array, radius: Array) -> Array:
    """The maximum of clip(½ + (r − d) / softness, 0, 1) over the segments: (n, 22, 22)

    d is a pixel's distance from a segment of length L. For a pixel at s along the segment's line
    and h beside it, d² = h² + (s − t)², where t is s clipped to [0, L].
    """
    start, stop = ends[:, :S], ends[:, S:]
    along = stop - start
    along[..., 0] += 1e-9  # gives a dot a direction too
    L = np.linalg.norm(along, axis=2, keepdims=True)
    u, v = np.moveaxis(along / L, 2, 0)[..., None]  # the direction
    x, y = np.arange(CANVAS, dtype=np.float32) - np.moveaxis(start, 2, 0)[..., None]  # (n, S, 22)
    s = (y * v)[..., :, None] + (x * u)[..., None, :]  # (n, S, 22, 22)
    h = (y * u)[..., :, None] - (x * v)[..., None, :]
    beyond = s - np.clip(s, 0, L[..., None])
    d = np.sqrt(h * h + beyond * beyond)
    deepest = (radius[..., None, None] - d).max(axis=1)
    return np.clip(0.5 + deepest / SOFTNESS, 0, 1)


def _centred(ink: Array) -> Array:
    """The canvas in 28 × 28, with its centre of mass within half a pixel of pixel (14, 14)"""
    at, margin = np.arange(CANVAS, dtype=np.float32), SIZE // 2
    mass = ink.sum(axis=(1, 2))
    row, column = ink.sum(axis=2) @ at / mass, ink.sum(axis=1) @ at / mass
    wide = np.pad(ink, [(0, 0), (margin, margin), (margin, margin)])
    # with a margin of 14, row r of the canvas is row 14 of the window that starts at r
    windows = sliding_window_view(wide, (SIZE, SIZE), axis=(1, 2))
    return windows[np.arange(len(ink)), np.rint(row).astype(int), np.rint(column).astype(int)]
