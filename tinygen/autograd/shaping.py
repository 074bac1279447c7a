"""Operations that move, join and contract elements: all linear in each argument.

The gradient of a linear operation is its transpose, which is linear too, and mostly another
operation of this page: reshaping and reshaping back, joining and slicing, padding and cropping,
einsum and itself.

Reading order: shapes; joining and splitting; padding, reversing, summing up; products; einsum.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygen._types import Array, Shape
from tinygen.autograd import parallel
from tinygen.autograd.backend import xp
from tinygen.autograd.parallel import product
from tinygen.autograd.tensor import Tensor, apply, as_alike, as_tensor, meet_either, record

__all__ = [
    "affine",
    "broadcast_to",
    "concat",
    "cumsum",
    "einsum",
    "flip",
    "matmul",
    "pad",
    "reshape",
    "split",
    "stack",
    "swapaxes",
    "take",
    "transpose",
]


# --- shapes ---------------------------------------------------------------------------------------


def broadcast_to(x: Any, shape: Shape) -> Tensor:
    """z = x repeated along new axes and axes of length 1;  x̄ = Σ z̄ over the repeats"""
    x = as_tensor(x)
    return record(xp.broadcast_to(x._data, shape), (x, lambda g, _: g))  # `_fit` sums


def reshape(x: Any, shape: int | Sequence[int]) -> Tensor:
    """The same entries in another shape, rows first"""
    x = as_tensor(x)
    try:
        data = x._data.reshape(shape)
    except ValueError:
        raise ValueError(
            f"reshape: {x.size} entries of shape {x.shape} do not fill shape {shape}"
        ) from None
    return record(data, (x, lambda g, _: reshape(g, x.shape)))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; reversed if none is given"""
    x = as_tensor(x)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(a % x.ndim for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes {axes} are no order of the axes of shape {x.shape}")
    back = tuple(order.index(i) for i in range(x.ndim))
    return record(x._data.transpose(order), (x, lambda g, _: transpose(g, back)))


def swapaxes(x: Any, a: int, b: int) -> Tensor:
    """The axes `a` and `b` exchanged"""
    x = as_tensor(x)
    return record(x._data.swapaxes(a, b), (x, lambda g, _: swapaxes(g, a, b)))


def put(x: Tensor, index: Any, shape: Shape) -> Tensor:
    """Zeros of `shape`, with `x` added in at `index`: the adjoint of `x[index]`"""
    z = xp.zeros(shape, x.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, (list, xp.ndarray)) and xp.asarray(i).dtype.kind in "iu" for i in parts):
        xp.add.at(z, index, x._data)  # an entry may be taken twice
    else:
        z[index] = x._data
    return record(z, (x, lambda g, _: g[index]))


# --- joining and splitting ------------------------------------------------------------------------


def _all_tensors(name: str, xs: Sequence[Any]) -> list[Tensor]:
    if not len(xs):
        raise ValueError(f"{name}: expected at least one tensor, got none")
    return as_alike(name, *xs)


def _axis(name: str, axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: axis {axis} is out of range for {ndim} axes")
    return axis % ndim


def concat(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """z = the x₁, x₂, … one after the other along an axis;  x̄ᵢ = its slice of z̄"""
    tensors = _all_tensors("concat", xs)
    axis = _axis("concat", axis, tensors[0].ndim)
    shapes = [x.shape for x in tensors]
    if len({s[:axis] + s[axis + 1 :] for s in shapes}) > 1 or len({len(s) for s in shapes}) > 1:
        raise ValueError(f"concat: shapes {shapes} may differ only along axis {axis}")

    def edge(i: int) -> Any:
        start = sum(s[axis] for s in shapes[:i])
        index = (slice(None),) * axis + (slice(start, start + shapes[i][axis]),)
        return tensors[i], lambda g, _: g[index]

    data = xp.concatenate([x.data for x in tensors], axis=axis)
    return record(data, *(edge(i) for i in range(len(tensors))))


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """z = the x₁, x₂, … along a new axis"""
    tensors = _all_tensors("stack", xs)
    axis = _axis("stack", axis, tensors[0].ndim + 1)
    if len({x.shape for x in tensors}) > 1:
        raise ValueError(f"stack: shapes {[x.shape for x in tensors]} differ")
    shape = (*tensors[0].shape[:axis], 1, *tensors[0].shape[axis:])
    return concat([reshape(x, shape) for x in tensors], axis)


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x in so many equal parts, or cut before the given positions, along an axis"""
    x = as_tensor(x)
    axis = _axis("split", axis, x.ndim)
    length = x.shape[axis]
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or length % sections:
            raise ValueError(f"split: axis {axis} of shape {x.shape} has no {sections} equal parts")
        sections = range(length // sections, length, length // sections) if length else ()
    cuts = [0, *sections, length]
    if any(a > b for a, b in itertools.pairwise(cuts)):
        raise ValueError(f"split: positions {list(sections)} do not rise from 0 to {length}")
    return [x[(slice(None),) * axis + (slice(a, b),)] for a, b in itertools.pairwise(cuts)]


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """z = the entries (or slices along an axis) of x at the indices, repeats allowed"""
    tensor = as_tensor(x)
    indices = np.asarray(indices) if isinstance(indices, (list, tuple, range)) else indices
    if axis is None:
        return reshape(tensor, (-1,))[indices]
    return tensor[(slice(None),) * _axis("take", axis, tensor.ndim) + (indices,)]


# --- padding, reversing, summing up ---------------------------------------------------------------


def pad(x: Any, pad_width: Sequence[tuple[int, int]], constant_values: float = 0.0) -> Tensor:
    """z = x with (before, after) constants added at each axis;  x̄ = z̄ without them"""
    x = as_tensor(x)
    pad_width = [(int(a), int(b)) for a, b in pad_width]
    if len(pad_width) != x.ndim or any(n < 0 for pair in pad_width for n in pair):
        raise ValueError(
            f"pad: expected a pair (before, after) ≥ 0 for each axis of shape "
            f"{x.shape}, got {pad_width}"
        )
    inside = tuple(slice(a, a + n) for (a, _), n in zip(pad_width, x.shape, strict=True))
    data = xp.pad(x.data, pad_width, constant_values=constant_values)
    return record(data, (x, lambda g, _: g[inside]))


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """z = x reversed along the axes;  x̄ = z̄ reversed back"""
    x = as_tensor(x)
    if axis is None:
        axis = range(x.ndim)
    axes = [axis] if isinstance(axis, (int, np.integer)) else axis
    reversed_axes = {_axis("flip", a, x.ndim) for a in axes}
    index = tuple(slice(None, None, -1 if i in reversed_axes else 1) for i in range(x.ndim))
    return record(x.data[index], (x, lambda g, _: g[index]))


def cumsum(x: Any, axis: int = 0) -> Tensor:
    """zᵢ = x₁ + … + xᵢ;  x̄ᵢ = z̄ᵢ + … + z̄ₙ"""
    x = as_tensor(x)
    axis = _axis("cumsum", axis, x.ndim)
    return record(
        x.data.cumsum(axis=axis), (x, lambda g, _: flip(cumsum(flip(g, axis), axis), axis))
    )


# --- products -------------------------------------------------------------------------------------


def matmul(x: Any, y: Any) -> Tensor:
    """Z = X Y;  X̄ = Z̄ Yᵀ,  Ȳ = Xᵀ Z̄  (over the last two axes; a vector is one row or column)"""
    x, y, a, b = meet_either("matmul", x, y)
    x = x if isinstance(x, Tensor) else as_tensor(x)
    if not (isinstance(y, Tensor) and x.ndim and y.ndim):
        raise ValueError("matmul: an operand has no axes; multiply by a number with *")
    if x.shape[-1] != y.shape[max(y.ndim - 2, 0)]:
        raise ValueError(
            f"matmul: the last axis of `x` {x.shape} and the "
            f"{'last but one' if y.ndim > 1 else 'only'} of `y` {y.shape} "
            f"differ in length"
        )
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
        apply(parallel.product, a, b, "matmul"),
        (x, lambda g, _: matmul(g, swapaxes(y, -1, -2))),
        (y, lambda g, _: matmul(swapaxes(x, -1, -2), g)),
    )


def affine(x: Any, w: Any, b: Any = None) -> Tensor:
    """Z = X W + b over the last axis of x;  X̄ = Z̄ Wᵀ,  W̄ = Xᵀ Z̄,  b̄ = Σ Z̄"""
    x, w, *given = as_alike("affine", x, w, *([] if b is None else [b]))
    if w.ndim != 2:
        raise ValueError(f"affine: expected `w` of two axes, inputs and outputs, got {w.shape}")
    if not x.ndim or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"affine: expected `x` of shape (…, {w.shape[0]}), got {x.shape} (w {w.shape})"
        )
    if not given:
        return matmul(x, w)
    (b,) = given
    if b.shape != w.shape[1:]:
        raise ValueError(f"affine: expected `b` of shape {w.shape[1:]}, got {b.shape}")
    rows = x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    data = product(rows.data, w.data)
    data += b.data
    z = record(
        data,
        (rows, lambda g, _: matmul(g, transpose(w))),
        (w, lambda g, _: matmul(transpose(rows), g)),
        (b, lambda g, _: g),  # `_fit` sums over the rows
    )
    return z if x.ndim == 2 else reshape(z, (*x.shape[:-1], w.shape[1]))


# --- einsum ---------------------------------------------------------------------------------------


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """z = Σ x₁ x₂ … over the letters that the output lacks, as in "nk,km->nm"

    The gradient swaps the output with an operand: for "nk,km->nm" it is X̄ = einsum("nm,km->nk",
    Z̄, Y). A letter that only this operand has was summed over, so its gradient is constant there:
    a vector of ones supplies the letter. A letter twice in one operand means its diagonal: the
    second becomes a letter of its own, joined to the first by an identity matrix.
    """
    xs = as_alike("einsum", *operands)
    terms, out = _explicit_terms(subscripts, xs)
    unused = iter(sorted(set(string.ascii_letters) - set("".join([*terms, out]))))
    for i, (term, x) in enumerate(zip(list(terms), list(xs), strict=True)):
        for j, letter in enumerate(term):
            if letter in term[:j]:
                other = next(unused)
                terms[i] = terms[i][:j] + other + terms[i][j + 1 :]
                terms.append(letter + other)
                xs.append(as_tensor(xp.eye(x.shape[j], dtype=x.dtype)))
    return _contract(terms, out, xs)


def _contract(terms: list[str], out: str, xs: list[Tensor]) -> Tensor:
    sizes: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        for letter, n in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                if 1 not in (sizes[letter], n):
                    raise ValueError(
                        f"einsum: {','.join(terms)}->{out}: letter {letter!r} stands "
                        f"for lengths {sizes[letter]} and {n}"
                    )
                sizes[letter] = sizes[letter] * n

    def edge(i: int) -> Any:
        def vjp(g: Tensor, _: Tensor) -> Tensor:
            others = [(t, x) for j, (t, x) in enumerate(zip(terms, xs, strict=True)) if j != i]
            known = set(out).union(*(t for t, _ in others))
            alone = [c for c in terms[i] if c not in known]
            ones = [(c, as_tensor(xp.ones(sizes[c], g.dtype))) for c in alone]
            names, tensors = zip((out, g), *others, *ones, strict=True)
            return _contract(list(names), terms[i], list(tensors))

        return xs[i], vjp

    arrays: list[Array] = [x.data for x in xs]
    with parallel.one_blas_thread:
        data = xp.einsum(f"{','.join(terms)}->{out}", *arrays, optimize=True)
    return record(data, *(edge(i) for i in range(len(xs))))


def _explicit_terms(subscripts: str, xs: Sequence[Tensor]) -> tuple[list[str], str]:
    """The operands' and the output's letters, with "..." and the output's default written out."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(xs):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(xs)}")
    used = set(subscripts)
    spare = [c for c in string.ascii_letters if c not in used]
    longest = 0
    for i, (term, x) in enumerate(zip(terms, xs, strict=True)):
        hidden = x.ndim - len(term.replace("...", ""))
        if hidden < 0 or ("..." not in term and hidden):
            raise ValueError(f"einsum: {term!r} does not describe an operand of shape {x.shape}")
        longest = hidden if hidden > longest else longest
        terms[i] = term.replace("...", "".join(spare[:hidden][::-1]))
    dots = "".join(spare[:longest][::-1])
    if not arrow:
        letters = "".join(terms)
        once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots)
        return terms, dots + "".join(once)
    out = out.replace("...", dots)
    if len(set(out)) < len(out) or not set(out) <= set("".join(terms)):
        raise ValueError(
            f"einsum: in {subscripts!r} the output must name letters of the operands, each once"
        )
    return terms, out
