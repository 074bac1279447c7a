r"""Convolution: a matrix product over patches, and its two adjoints.

Notation: images x are (N, H, W, C), N of them, H × W pixels, C channels. A weight w is
(K, L, C, O): K × L pixels, from C channels to O. Stride s, zero padding p; y is (N, H', W', O) with
H' = ⌊(H + p_top + p_bottom − K) / s⌋ + 1.

Take the trilinear form  T(x, w, y) = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o] y[n,i,j,o].
Its derivatives are three operations, and each one's two gradients are the other two:

    conv2d(x, w) = ∂T/∂y        conv_transpose2d(y, w) = ∂T/∂x        conv2d_weight(x, y) = ∂T/∂w

so the six vjps below are these three functions again, and gradients of any order come for nothing.

Reading order: the plain computation, one matrix product for each of the three; the three
operations; last, where the CPU takes another route to the same numbers (fast_conv.py).
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

from tinygen._types import Array, ArrayLike
from tinygen.autograd import backend, fast_conv, geometry
from tinygen.autograd.backend import xp
from tinygen.autograd.geometry import Padding, Pads, Pair, Size, output_size, pair_of
from tinygen.autograd.tensor import Tensor, record

__all__ = ["conv2d", "conv2d_weight", "conv_transpose2d"]


# --- the plain computation, on arrays -------------------------------------------------------------


def windows(x: Array, size: Pair, s: Pair, p: Pads) -> Array:
    """z[n,i,j,k,l,c] = x[n, s i + k − p, s j + l − p, c]: the patch under each output pixel

    A view of the padded images: a step of i moves s rows further in memory, a step of k moves one.
    """
    x, (K, L) = xp.pad(x, ((0, 0), *p, (0, 0))), size
    (N, H, W, C), (image, row, pixel, channel) = x.shape, x.strides
    shape = (N, (H - K) // s[0] + 1, (W - L) // s[1] + 1, K, L, C)
    strides = (image, s[0] * row, s[1] * pixel, row, pixel, channel)
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


def add_back(z: Array, s: Pair, p: Pads, size: Pair) -> Array:
    """x[n, s i + k − p, s j + l − p, c] = Σ z[n,i,j,k,l,c]: every patch added back to its place

    The adjoint of `windows`. The pixels at one place (k, l) of all patches lie s apart.
    """
    (N, rows, columns, K, L, C), (H, W), ((top, bottom), (left, right)) = z.shape, size, p
    x = xp.zeros((N, top + H + bottom, left + W + right, C), z.dtype)
    for k in range(K):
        for l in range(L):
            x[:, k : k + s[0] * rows : s[0], l : l + s[1] * columns : s[1]] += z[:, :, :, k, l]
    return x[:, top : top + H, left : left + W]


def plain_conv(x: Array, w: Array, s: Pair, p: Pads) -> Array:
    return xp.tensordot(windows(x, w.shape[:2], s, p), w, 3)  # Σ over k, l, c → (N, H', W', O)


def plain_conv_transpose(y: Array, w: Array, s: Pair, p: Pads, size: Pair) -> Array:
    patches = xp.tensordot(y, w, (3, 3))  # Σ over o → (N, H', W', K, L, C)
    return add_back(patches, s, p, size)


def plain_conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    rows = windows(x, size, s, p)
    return xp.tensordot(rows, y, ((0, 1, 2), (0, 1, 2)))  # Σ over n, i, j → (K, L, C, O)


# --- the triple -----------------------------------------------------------------------------------


def conv2d(
    x: ArrayLike, w: ArrayLike, stride: Size = 1, padding: Padding = 0, *, bias: Any = None
) -> Tensor:
    """y[n,i,j,o] = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o];  the adjoints give x̄ and w̄

    `stride` is an int or a pair; `padding` an int, a pair for (height, width), two pairs
    ((top, bottom), (left, right)), or "same": an output of ⌈H/s⌉ × ⌈W/s⌉ pixels. `bias`, a
    Tensor or several that broadcast to y, is added to it.
    """
    x, w, biases = geometry.operands("conv2d", bias, x=x, w=w)
    (N, H, W, C), (K, L, inputs, O) = x.shape, w.shape
    if inputs != C:
        shapes = f"(x {x.shape}, w {w.shape})"
        raise ValueError(f"conv2d: `x` has {C} channels but `w` expects {inputs} {shapes}")
    s, p, pixels = geometry.in_full("conv2d", (H, W), (K, L), stride, padding)
    added = geometry.broadcast("conv2d", biases, (N, *pixels, O))
    return record(
        _conv(x.data, w.data, added, s, p),
        (x, lambda g, _: conv_transpose2d(g, w, s, p, size=(H, W))),
        (w, lambda g, _: conv2d_weight(x, g, s, p, size=(K, L))),
        *((b, lambda g, _: g) for b in biases),  # broadcasting is undone by summing, as always
    )


def conv_transpose2d(
    y: ArrayLike,
    w: ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    size: Size | None = None,
    *,
    bias: Any = None,
) -> Tensor:
    """x[n, s i + k − p, s j + l − p, c] = Σ y[n,i,j,o] w[k,l,c,o]: conv2d's adjoint, from O to C

    The weight is that of the `conv2d` whose shapes it undoes. Several image sizes lead to the same
    y; `size` = (H, W) names one. Without it: the smallest, or s times y's for "same".
    """
    name = "conv_transpose2d"
    y, w, biases = geometry.operands(name, bias, y=y, w=w)
    (N, _, _, O), (K, L, C, outputs) = y.shape, w.shape
    if outputs != O:
        shapes = f"(y {y.shape}, w {w.shape})"
        raise ValueError(f"{name}: `y` has {O} channels but `w` gives {outputs} {shapes}")
    s = pair_of(name, "stride", stride)
    size = geometry.smallest(name, y.shape[1:3], (K, L), s, padding) if size is None else size
    H, W = pair_of(name, "size", size)
    s, p, expected = geometry.in_full(name, (H, W), (K, L), s, padding)
    if y.shape[1:3] != expected:
        shapes = f"(w {w.shape}, stride {s}, padding {p})"
        raise ValueError(f"{name}: size {H, W} leads to {expected}, `y` is {y.shape} {shapes}")
    added = geometry.broadcast(name, biases, (N, H, W, C))
    return record(
        _conv_transpose(y.data, w.data, added, s, p, (H, W)),
        (y, lambda g, _: conv2d(g, w, s, p)),
        (w, lambda g, _: conv2d_weight(g, y, s, p, size=(K, L))),
        *((b, lambda g, _: g) for b in biases),
    )


def conv2d_weight(
    x: ArrayLike, y: ArrayLike, stride: Size = 1, padding: Padding = 0, *, size: Size
) -> Tensor:
    """w[k,l,c,o] = Σ x[n, s i + k − p, s j + l − p, c] y[n,i,j,o], for a kernel of `size` (K, L)"""
    x, y, _ = geometry.operands("conv2d_weight", None, x=x, y=y)
    (N, H, W, _), (K, L) = x.shape, pair_of("conv2d_weight", "size", size)
    s, p, pixels = geometry.in_full("conv2d_weight", (H, W), (K, L), stride, padding)
    if y.shape[:3] != (N, *pixels):
        shapes = f"(x {x.shape}, size {K, L})"
        raise ValueError(f"conv2d_weight: expected `y` {(N, *pixels)}, got {y.shape} {shapes}")
    return record(
        _conv_weight(x.data, y.data, s, p, (K, L)),
        (x, lambda g, _: conv_transpose2d(y, g, s, p, size=(H, W))),
        (y, lambda g, _: conv2d(x, g, s, p)),
    )


# --- the CPU computes the same in blocks that fit its cache; a GPU in large parts of the batch ----

PATCH_BYTES = 256 << 20  # the most that patches take at once: they are K L times the image


def _conv(x: Array, w: Array, biases: list[Array], s: Pair, p: Pads) -> Array:
    if not backend.plain:
        return fast_conv.conv(x, w, biases, s, p)
    parts = _parts(x, *output_size(x.shape[1:3], w.shape[:2], s, p), *w.shape[:3])
    return sum(biases, start=_join([plain_conv(x[part], w, s, p) for part in parts]))


def _conv_transpose(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    if not backend.plain:
        return fast_conv.conv_transpose(y, w, biases, s, p, size)
    parts = _parts(y, *y.shape[1:3], *w.shape[:3])
    return sum(biases, start=_join([plain_conv_transpose(y[i], w, s, p, size) for i in parts]))


def _conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    if not backend.plain:
        return fast_conv.conv_weight(x, y, s, p, size)
    parts = _parts(x, *y.shape[1:3], *size, x.shape[3])
    return functools.reduce(
        operator.add, (plain_conv_weight(x[i], y[i], s, p, size) for i in parts)
    )


def _parts(images: Array, *patches: int) -> list[slice]:
    """The batch in parts whose patches, this many numbers an image, take at most PATCH_BYTES."""
    step = max(1, PATCH_BYTES // (math.prod(patches) * images.itemsize))
    return [slice(i, i + step) for i in range(0, max(1, len(images)), step)]


def _join(parts: list[Array]) -> Array:
    return xp.concatenate(parts) if len(parts) > 1 else parts[0]
