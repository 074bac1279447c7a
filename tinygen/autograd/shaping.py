"""Operations that move, join and contract elements, all linear in each argument.

Their gradients are their transposes: slicing for joining, cropping for padding, einsum for einsum.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygen._types import ArrayLike, Shape
from tinygen.autograd import parallel
from tinygen.autograd.backend import xp
from tinygen.autograd.tensor import Axis, Tensor, Vjp, as_alike, as_tensor, record

__all__ = ["affine", "broadcast_to", "concat", "cumsum", "dot", "einsum", "flip", "matmul"]
__all__ += ["ones", "ones_like", "pad", "reshape", "split", "squeeze", "stack", "swapaxes", "take"]
__all__ += ["transpose", "zeros", "zeros_like"]

# --- constants ------------------------------------------------------------------------------------


def zeros(shape: int | Shape, dtype: Any = np.float64) -> Tensor:
    """z = 0, a constant of this shape"""
    return as_tensor(xp.zeros(shape, dtype))


def ones(shape: int | Shape, dtype: Any = np.float64) -> Tensor:
    """z = 1, a constant of this shape"""
    return as_tensor(xp.ones(shape, dtype))


def zeros_like(x: ArrayLike) -> Tensor:
    """z = 0, of x's shape and dtype"""
    return as_tensor(xp.zeros_like(as_tensor(x)._data))


def ones_like(x: ArrayLike) -> Tensor:
    """z = 1, of x's shape and dtype"""
    return as_tensor(xp.ones_like(as_tensor(x)._data))


# --- shapes ---------------------------------------------------------------------------------------


def broadcast_to(x: ArrayLike, shape: Shape) -> Tensor:
    """z = x repeated along new axes and axes of length 1;  x̄ = Σ z̄ over the repeats"""
    x = as_tensor(x)
    return record(xp.broadcast_to(x._data, shape), (x, lambda g, _: g))  # `_fit` sums


def reshape(x: ArrayLike, shape: int | Sequence[int]) -> Tensor:
    """x in another shape, with its elements in the same row-major order"""
    x = as_tensor(x)
    return record(x._data.reshape(shape), (x, lambda g, _: reshape(g, x.shape)))


def squeeze(x: ArrayLike, axis: Axis = None) -> Tensor:
    """x without its axes of length 1, or without the given ones"""
    x = as_tensor(x)
    return reshape(x, x._data.squeeze(axis).shape)


def transpose(x: ArrayLike, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in another order, by default reversed"""
    x = as_tensor(x)
    order = range(x.ndim)[::-1] if axes is None else normalize_axis_tuple(axes, x.ndim)
    back = tuple(order.index(i) for i in range(len(order)))
    return record(x._data.transpose(order), (x, lambda g, _: transpose(g, back)))


def swapaxes(x: ArrayLike, a: int, b: int) -> Tensor:
    """x with its axes `a` and `b` swapped"""
    x = as_tensor(x)
    return record(x._data.swapaxes(a, b), (x, lambda g, _: swapaxes(g, a, b)))


def put(x: Tensor, index: tuple[Any, ...], shape: Shape) -> Tensor:
    """Zeros of `shape`, with `x` added at `index`: the adjoint of `x[index]`"""
    z = xp.zeros(shape, x.dtype)
    if any(isinstance(i, xp.ndarray) and i.dtype.kind in "iu" for i in index):
        xp.add.at(z, index, x._data)  # an index may repeat
    else:
        z[index] = x._data
    return record(z, (x, lambda g, _: g[index]))


# --- joining, splitting, padding, reversing -------------------------------------------------------


def concat(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """z = x₁, x₂, … joined along an axis;  x̄ᵢ = its slice of z̄"""
    tensors = as_alike("concat", *xs)
    data = xp.concatenate([x.data for x in tensors], axis=axis)
    edges, start = [], 0
    for x in tensors:
        index = _slice(start, start + x.shape[axis], axis, x.ndim)
        edges.append((x, lambda g, _, index=index: g[index]))
        start += x.shape[axis]
    return record(data, *edges)


def _slice(start: int, end: int, axis: int, ndim: int) -> tuple[slice, ...]:
    """The index start … end along one axis"""
    return (slice(None),) * normalize_axis_index(axis, ndim) + (slice(start, end),)


def stack(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """z = x₁, x₂, … stacked along a new axis"""
    tensors = as_alike("stack", *xs)
    return concat([reshape(x, xp.expand_dims(x.data, axis).shape) for x in tensors], axis)


def split(x: ArrayLike, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along an axis into `sections` equal parts, or before each of several positions"""
    x = as_tensor(x)
    n = x.shape[axis]
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or n % sections:
            raise ValueError(f"split: axis {axis} of shape {x.shape} has no {sections} equal parts")
        sections = [n * i // sections for i in range(1, sections)]
    cuts = itertools.pairwise([0, *sections, n])
    return [x[_slice(start, end, axis, x.ndim)] for start, end in cuts]


def take(x: ArrayLike, indices: ArrayLike, axis: int | None = None) -> Tensor:
    """z = the elements of x, or slices along an axis, at the indices, which may repeat"""
    x, axis = (reshape(x, -1), 0) if axis is None else (as_tensor(x), axis)
    return x[(slice(None),) * normalize_axis_index(axis, x.ndim) + (indices,)]


def pad(x: ArrayLike, pad_width: Sequence[tuple[int, int]], constant_values: float = 0.0) -> Tensor:
    """z = x padded by (before, after) constants along each axis;  x̄ = z̄ without them"""
    x = as_tensor(x)
    if len(pad_width) != x.ndim:
        raise ValueError(f"pad: expected {x.ndim} pairs (before, after), got {pad_width}")
    inside = tuple(slice(a, a + n) for (a, _), n in zip(pad_width, x.shape, strict=True))
    data = xp.pad(x.data, pad_width, constant_values=constant_values)
    return record(data, (x, lambda g, _: g[inside]))


def flip(x: ArrayLike, axis: Axis = None) -> Tensor:
    """z = x reversed along the axes;  x̄ = z̄ reversed back"""
    x = as_tensor(x)
    return record(xp.flip(x.data, axis), (x, lambda g, _: flip(g, axis)))


def cumsum(x: ArrayLike, axis: int | None = None) -> Tensor:
    """zᵢ = x₁ + … + xᵢ;  x̄ᵢ = z̄ᵢ + … + z̄ₙ"""
    x = as_tensor(x)
    if axis is None:
        return cumsum(reshape(x, -1), 0)
    data = x.data.cumsum(axis=axis)
    return record(data, (x, lambda g, _: flip(cumsum(flip(g, axis), axis), axis)))


# --- products -------------------------------------------------------------------------------------


def matmul(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Z = X Y;  X̄ = Z̄ Yᵀ,  Ȳ = Xᵀ Z̄  (over the last two axes; a vector is one row or column)"""
    x, y = as_alike("matmul", x, y)
    if not (x.ndim and y.ndim) or x.shape[-1] != y.shape[max(y.ndim - 2, 0)]:
        raise ValueError(f"matmul: expected (…, n) @ (n, m), got {x.shape} @ {y.shape}")
    if x.ndim == 1:
        z = matmul(reshape(x, (1, -1)), y)
        return reshape(z, z.shape[:-2] + z.shape[-1:] if y.ndim > 1 else z.shape[:-1])
    if y.ndim == 1:
        z = matmul(x, reshape(y, (-1, 1)))
        return reshape(z, z.shape[:-1])
    if x.ndim > 2 and y.ndim == 2:  # one large product instead of many small ones
        z = matmul(reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), y)
        return reshape(z, (*x.shape[:-1], y.shape[-1]))
    return record(
        parallel.product(x.data, y.data),
        (x, lambda g, _: matmul(g, swapaxes(y, -1, -2))),
        (y, lambda g, _: matmul(swapaxes(x, -1, -2), g)),
    )


def dot(x: ArrayLike, y: ArrayLike) -> Tensor:
    """z = Σ xᵢ yᵢ of vectors; of matrices their product, of numbers x y"""
    x, y = as_alike("dot", x, y)
    if max(x.ndim, y.ndim) > 2:
        raise ValueError(f"dot: expected at most two axes, got {x.shape}, {y.shape}; see matmul")
    return matmul(x, y) if x.ndim and y.ndim else x * y


def affine(x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None) -> Tensor:
    """Z = X W + b over the last axis of x;  X̄ = Z̄ Wᵀ,  W̄ = Xᵀ Z̄,  b̄ = Σ Z̄"""
    x, w, *bias = as_alike("affine", x, w, *([] if b is None else [b]))
    if w.ndim != 2 or x.shape[-1:] != w.shape[:1] or any(b.shape != w.shape[1:] for b in bias):
        shapes = ", ".join(str(t.shape) for t in (x, w, *bias))
        raise ValueError(f"affine: expected `x` (…, n), `w` (n, m) and `b` (m,), got {shapes}")
    if not bias:
        return matmul(x, w)
    (b,) = bias
    if x.ndim != 2:
        rows = affine(reshape(x, (math.prod(x.shape[:-1]), len(w))), w, b)
        return reshape(rows, (*x.shape[:-1], *b.shape))
    data = parallel.product(x.data, w.data)
    data += b.data
    return record(
        data,
        (x, lambda g, _: matmul(g, transpose(w))),
        (w, lambda g, _: matmul(transpose(x), g)),
        (b, lambda g, _: g),  # `_fit` sums over the rows
    )


def einsum(subscripts: str, *operands: ArrayLike) -> Tensor:
    """z = Σ x₁ x₂ … over the letters missing from the output, as in "nk,km->nm"

    The gradient swaps the output with an operand: for "nk,km->nm" it is X̄ = einsum("nm,km->nk",
    Z̄, Y). A vector of ones supplies a letter that only this operand has. A letter twice in one
    operand takes the diagonal: the second is renamed and tied to the first by an identity matrix.
    """
    xs = as_alike("einsum", *operands)
    terms, out = _explicit_terms(subscripts, xs)
    unused = iter(sorted(set(string.ascii_letters) - set("".join([*terms, out]))))
    for i, (term, x) in enumerate(zip(list(terms), list(xs), strict=False)):
        for j, letter in enumerate(term):
            if letter in term[:j]:
                other = next(unused)
                terms[i] = terms[i][:j] + other + terms[i][j + 1 :]
                terms.append(letter + other)
                xs.append(as_tensor(xp.eye(x.shape[j], dtype=x.dtype)))
    return _contract(terms, out, xs)


def _explicit_terms(subscripts: str, xs: list[Tensor]) -> tuple[list[str], str]:
    """The letters of operands and output, with "..." and the output's default written out."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    spare = [c for c in string.ascii_letters if c not in subscripts]
    hidden = [x.ndim - len(t.replace("...", "")) for t, x in zip(terms, xs, strict=False)]
    dots = ["".join(spare[:n])[::-1] for n in [*hidden, max(hidden)]]
    terms = [t.replace("...", d) for t, d in zip(terms, dots, strict=False)]
    if arrow:
        return terms, out.replace("...", dots[-1])
    letters = "".join(terms)
    once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots[-1])
    return terms, dots[-1] + "".join(once)


def _contract(terms: list[str], out: str, xs: list[Tensor]) -> Tensor:
    with parallel.one_blas_thread:
        data = xp.einsum(f"{','.join(terms)}->{out}", *(x.data for x in xs), optimize=True)
    letters, lengths = "".join(terms), [n for x in xs for n in x.shape]
    sizes = {c: n for c, n in zip(letters, lengths, strict=True) if n != 1}

    def edge(i: int) -> tuple[Tensor, Vjp]:
        others, tensors = [out, *terms[:i], *terms[i + 1 :]], [*xs[:i], *xs[i + 1 :]]
        alone = [c for c in terms[i] if c not in "".join(others)]

        def vjp(g: Tensor, _: Tensor) -> Tensor:
            ones = [as_tensor(xp.ones(sizes.get(c, 1), g.dtype)) for c in alone]
            return _contract([*others, *alone], terms[i], [g, *tensors, *ones])

        return xs[i], vjp

    return record(data, *(edge(i) for i in range(len(xs))))
