"""Hypothesis strategies for property tests of gradients: arrays, shapes, axes, geometries.

The inputs are of every shape, and typical rather than extreme: no entry at a kink of the function,
none that overflows. They are drawn directly, so that a failing test shrinks to something short.

    @given(strategies.arrays(away_from=[0]))
    def test_relu_passes_gradcheck(x):
        assert gradcheck(relu, x)
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tinygen._types import Array, Shape

__all__ = ["Conv", "arrays", "axes", "broadcastable", "conv_geometries", "distinct", "shapes"]

Strategy = st.SearchStrategy


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4
) -> Strategy[Shape]:
    """Shapes with `min_dims` to `max_dims` axes of lengths from `min_side` to `max_side`."""
    sides = st.integers(min_side, max_side)
    return st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def arrays(
    draw: Any,
    shape: Shape | Strategy[Shape] | None = None,
    *,
    low: float = -2.0,
    high: float = 2.0,
    away_from: Sequence[float] = (),
    gap: float = 0.1,
    dtype: Any = np.float64,
) -> Array:
    """Arrays with entries between `low` and `high`, none within `gap` of a value in `away_from`.

    The entries are thousandths, which print shortly, and differ from one another often enough.
    """
    size = shape if isinstance(shape, tuple) else draw(shapes() if shape is None else shape)
    starts = [low, *(max(low, kink + gap) for kink in sorted(away_from))]
    stops = [*(min(kink - gap, high) for kink in sorted(away_from)), high]
    pieces = [(math.ceil(a * 1000), math.floor(b * 1000)) for a, b in zip(starts, stops)]  # noqa: B905
    numbers = [st.integers(a, b) for a, b in pieces if a <= b]
    if not numbers:
        raise ValueError(f"arrays: {away_from} leave nothing between {low} and {high}")
    count = math.prod(size)
    entries = draw(st.lists(st.one_of(numbers), min_size=count, max_size=count))
    return (np.array(entries, np.float64) / 1000).astype(dtype).reshape(size)


@st.composite
def distinct(
    draw: Any,
    shape: Shape | Strategy[Shape] | None = None,
    *,
    gap: float = 0.2,
    dtype: Any = np.float64,
) -> Array:
    """Arrays whose entries all lie at least `gap` apart: for max, sort, and other rankings."""
    size = shape if isinstance(shape, tuple) else draw(shapes() if shape is None else shape)
    count = math.prod(size)
    ranks = draw(st.permutations(range(count)))
    jitter = draw(st.lists(st.integers(0, 999), min_size=count, max_size=count))
    entries = gap * (2 * (np.array(ranks, np.float64) - count / 2) + np.array(jitter) / 1000)
    return entries.astype(dtype).reshape(size)


@st.composite
def broadcastable(draw: Any, count: int = 2, max_dims: int = 3, max_side: int = 4) -> list[Shape]:
    """Shapes that broadcast with each other: axes missing in front, and axes of length 1."""
    full = draw(shapes(max_dims=max_dims, max_side=max_side))
    starts = [draw(st.integers(0, len(full))) for _ in range(count)]
    return [tuple(1 if draw(st.booleans()) else n for n in full[first:]) for first in starts]


def axes(ndim: int) -> Strategy[int | tuple[int, ...] | None]:
    """What `axis=` accepts for an array of `ndim` axes: None, an int, or a tuple of ints."""
    if not ndim:
        return st.just(None)
    one = st.integers(-ndim, ndim - 1)
    several = st.lists(one, min_size=1, max_size=ndim, unique_by=lambda a: a % ndim).map(tuple)
    return st.none() | one | several


class Conv(NamedTuple):
    """One convolution's shapes: x (N, H, W, C), w (K, L, C, O), stride and padding as pairs."""

    x: Shape
    w: Shape
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]


@st.composite
def conv_geometries(draw: Any, max_side: int = 5) -> Conv:
    """Convolutions of any geometry that has an output: long strides, uneven padding too."""
    N, C, O = (draw(st.integers(1, 2)) for _ in range(3))

    def axis() -> tuple[int, int, int, tuple[int, int]]:
        n, before, after = (draw(st.integers(*ends)) for ends in ((1, max_side), (0, 2), (0, 2)))
        k = draw(st.integers(1, min(4, n + before + after)))
        return n, k, draw(st.integers(1, 4)), (before, after)

    (H, K, s, p), (W, L, t, q) = axis(), axis()
    return Conv((N, H, W, C), (K, L, C, O), (s, t), (p, q))
