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

import math
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

from tinygen._types import Array, Shape
from tinygen.autograd import backend, fast_conv
from tinygen.autograd.backend import xp
from tinygen.autograd.geometry import (
    Padding,
    Pads,
    Pair,
    Size,
    four_axes,
    geometry,
    operands,
    output_size,
    pads_of,
    pair_of,
)
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


def conv2d(x: Any, w: Any, stride: Size = 1, padding: Padding = 0, *, bias: Any = None) -> Tensor:
    """y[n,i,j,o] = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o];  the adjoints give x̄ and w̄

    `stride` is an int or a pair; `padding` an int, a pair for (height, width), two pairs
    ((top, bottom), (left, right)), or "same": an output of ⌈H/s⌉ × ⌈W/s⌉ pixels. `bias`, a
    Tensor or several that broadcast to y, is added to it.
    """
    x, w, biases = operands("conv2d", bias, x=x, w=w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(
            f"conv2d: `x` has {x.shape[3]} channels but `w` expects {w.shape[2]} "
            f"(x {x.shape}, w {w.shape})"
        )
    s, p = geometry("conv2d", x.shape[1:3], w.shape[:2], stride, padding)
    shape = (x.shape[0], *output_size(x.shape[1:3], w.shape[:2], s, p), w.shape[3])
    return record(
        _conv(x.data, w.data, four_axes("conv2d", biases, shape), s, p),
        (x, lambda g, _: conv_transpose2d(g, w, s, p, size=x.shape[1:3])),
        (w, lambda g, _: conv2d_weight(x, g, s, p, size=w.shape[:2])),
        *((b, lambda g, _: g) for b in biases),  # broadcasting is undone by summing, as always
    )


def conv_transpose2d(
    y: Any,
    w: Any,
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
    y, w, biases = operands("conv_transpose2d", bias, y=y, w=w)
    if y.shape[3] != w.shape[3]:
        raise ValueError(
            f"conv_transpose2d: `y` has {y.shape[3]} channels but `w` gives "
            f"{w.shape[3]} (y {y.shape}, w {w.shape})"
        )
    s = pair_of("conv_transpose2d", "stride", stride, least=1)
    if size is not None:
        size = pair_of("conv_transpose2d", "size", size, least=1)
    elif isinstance(padding, str) and padding == "same":
        size = (y.shape[1] * s[0], y.shape[2] * s[1])
    else:
        (top, bottom), (left, right) = pads_of("conv_transpose2d", padding)
        size = (
            (y.shape[1] - 1) * s[0] + w.shape[0] - top - bottom,
            (y.shape[2] - 1) * s[1] + w.shape[1] - left - right,
        )
        if min(size) < 1:
            raise ValueError(
                f"conv_transpose2d: padding {padding} leaves no pixel of `y` "
                f"{y.shape}, `w` {w.shape}, stride {s}"
            )
    s, p = geometry("conv_transpose2d", size, w.shape[:2], s, padding)
    expected = output_size(size, w.shape[:2], s, p)
    if y.shape[1:3] != expected:
        raise ValueError(
            f"conv_transpose2d: an image of size {size} leads to {expected} pixels, "
            f"but `y` has {y.shape[1:3]} (w {w.shape}, stride {s}, padding "
            f"{p})"
        )
    shape = (y.shape[0], *size, w.shape[2])
    return record(
        _conv_transpose(y.data, w.data, four_axes("conv_transpose2d", biases, shape), s, p, size),
        (y, lambda g, _: conv2d(g, w, s, p)),
        (w, lambda g, _: conv2d_weight(g, y, s, p, size=w.shape[:2])),
        *((b, lambda g, _: g) for b in biases),
    )


def conv2d_weight(x: Any, y: Any, stride: Size = 1, padding: Padding = 0, *, size: Size) -> Tensor:
    """w[k,l,c,o] = Σ x[n, s i + k − p, s j + l − p, c] y[n,i,j,o], for a kernel of `size` (K, L)"""
    x, y, _ = operands("conv2d_weight", None, x=x, y=y)
    K, L = pair_of("conv2d_weight", "size", size, least=1)
    s, p = geometry("conv2d_weight", x.shape[1:3], (K, L), stride, padding)
    expected = (x.shape[0], *output_size(x.shape[1:3], (K, L), s, p))
    if y.shape[:3] != expected:
        raise ValueError(
            f"conv2d_weight: `x` {x.shape} under a {K} × {L} kernel leads to (N, H, "
            f"W) = {expected}, but `y` has {y.shape[:3]}"
        )
    return record(
        _conv_weight(x.data, y.data, s, p, (K, L)),
        (x, lambda g, _: conv_transpose2d(y, g, s, p, size=x.shape[1:3])),
        (y, lambda g, _: conv2d(x, g, s, p)),
    )


# --- the CPU computes the same in blocks that fit its cache; a GPU in large parts of the batch ----

PATCH_BYTES = 256 << 20  # the most that patches take at once: they are K L times the image


def _conv(x: Array, w: Array, biases: list[Array], s: Pair, p: Pads) -> Array:
    if not backend.plain:
        return fast_conv.conv(x, w, biases, s, p)
    parts = _parts(x, output_size(x.shape[1:3], w.shape[:2], s, p), w.shape[:3])
    return sum(biases, start=_join([plain_conv(x[part], w, s, p) for part in parts]))


def _conv_transpose(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    if not backend.plain:
        return fast_conv.conv_transpose(y, w, biases, s, p, size)
    parts = _parts(y, y.shape[1:3], w.shape[:3])
    return sum(biases, start=_join([plain_conv_transpose(y[i], w, s, p, size) for i in parts]))


def _conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    if not backend.plain:
        return fast_conv.conv_weight(x, y, s, p, size)
    parts = _parts(x, y.shape[1:3], (*size, x.shape[3]))
    return reduce(operator.add, (plain_conv_weight(x[i], y[i], s, p, size) for i in parts))


def _parts(images: Array, pixels: Shape, patch: Shape) -> list[slice]:
    """The batch in parts whose patches, one for each pixel, take at most PATCH_BYTES."""
    bytes_each = math.prod(pixels) * math.prod(patch) * images.itemsize
    step = max(1, PATCH_BYTES // bytes_each)
    return [slice(i, i + step) for i in range(0, max(1, len(images)), step)]


def _join(parts: Sequence[Array]) -> Array:
    return xp.concatenate(parts) if len(parts) > 1 else parts[0]
