"""What is wrong with an array: the computed one, compared with the right one, named as a mistake.

Most wrong gradients are one of a dozen mistakes, and each leaves a mark: the sign flipped
everywhere, one factor everywhere, the right numbers in transposed places. `diagnose` looks for
these marks, the simplest first; `compare` does the same for values. If no mark fits, the error
gives only the element and its values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygen._types import Array, ArrayLike, Shape
from tinygen.autograd import Tensor, to_numpy

if TYPE_CHECKING:
    from tinygen.testing.differences import Function

__all__ = ["Finding", "GradientError", "Mismatch", "compare"]

SENTENCES = {
    "nondeterministic": "two calls with the same input gave different values: draw random numbers "
    "outside the function",
    "float32": "its values are too coarse to tell a right gradient from a wrong one",
    "coarse": "its values change in steps, as if rounded to float32: too coarse for a check",
    "undefined": "its inputs, or its values there, are infinite or not numbers: it has no gradient",
    "jump": "the function jumps there, or its derivative is infinite: it has no gradient",
    "outside": "the function has no finite values around it: move the input inside its domain",
    "recording": "the gradient differs with create_graph=True: the vjp takes a different path",
    "nothing": "the vjp returned None for it",
    "not finite": "it is infinite or not a number",
    "shape": "its shape is wrong",
    "zero": "it is zero where it should not be",
    "sign": "its sign is flipped",
    "factor": "it is off by a constant factor",
    "transpose": "it is right except for its axes, which are transposed",
    "flip": "it is right except for its order, which is reversed",
    "shift": "it is right except for its place: it is shifted by one element",
    "broadcast": "a sum over a broadcast axis is missing",
    "filter": "it is right for another argument that is reversed",
    "place": "its sums along an axis are right, but its elements are in the wrong places: is a\n"
    "  stride or an offset ignored?",
    "statistics": "a mean or a variance is treated as a constant",
    "first order only": "to first order it is right, but its own gradient is wrong: something in\n"
    "  the vjp that depends on the inputs is treated as a constant (a plain array, not a Tensor)",
}
SMALL = 256  # elements, at most, of what is measured anew to recognise a mistake


class Finding(NamedTuple):
    """One wrong array: where, by how much, and which mistake it looks like (None: unknown)."""

    function: str
    order: int  # of the gradient; 0 for a value
    diagnosis: str | None
    argument: str = ""
    element: Shape = ()
    computed: float | None = None
    expected: float = math.nan  # of a gradient as measured
    unsure: float = math.nan  # how far that may be off
    wrong: int = 0  # of all elements
    total: int = 0
    detail: str = ""

    def __str__(self) -> str:
        what = "gradient" if self.order == 1 else f"gradient of order {self.order}"
        what = what if self.order else "value"
        subject = f" with respect to `{self.argument}`" if self.argument else ""
        lines = [f"{self.function}: the {what}{subject} is wrong"]
        if self.computed is not None:
            place = f" at {list(self.element)}" if self.element else ""
            lines[0] += f"{place} ({self.wrong} of {self.total} elements)"
            lines.append(f"computed {self.computed:.10g}")
            unsure = f" (± {self.unsure:.1g})" if self.order else ""
            lines.append(f"{'measured' if self.order else 'expected'} {self.expected:.10g}{unsure}")
        lines += [SENTENCES[self.diagnosis]] if self.diagnosis else []
        return "\n  ".join([*lines, self.detail] if self.detail else lines)


class Mismatch(AssertionError):
    """An array is not as expected. `finding` says where, `diagnosis` names the mistake, if known"""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding, self.diagnosis = finding, finding.diagnosis

    def __reduce__(self) -> Any:  # for pickle, by which a process pool returns errors
        return type(self), (self.finding,)


class GradientError(Mismatch):
    """A gradient is wrong: see `Mismatch`."""


def compare(
    computed: ArrayLike,
    expected: ArrayLike,
    *,
    name: str = "result",
    rtol: float = 1e-7,
    atol: float = 0.0,
    **inputs: ArrayLike,
) -> None:
    """Raise a Mismatch that says how `computed` differs from `expected`, unless it is close.

    Close is within `atol + rtol · |expected|` at each element. `inputs` are what it was computed
    from: a factor that is one of their lengths is named.
    """
    got, right = (_on_host(x).astype(np.float64) for x in (computed, expected))
    if got.shape != right.shape:
        detail = f"It has shape {got.shape} in place of {right.shape}"
        raise Mismatch(Finding(name, 0, "shape", detail=detail))
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        wrong = ~((abs(got - right) <= atol + rtol * abs(right)) | (got == right))
    if wrong.any():
        index = tuple(map(int, np.argwhere(wrong)[0]))
        shapes = {f"`{key}`": np.shape(x) for key, x in inputs.items()}
        diagnosis, detail = _mark(got, right, {name: got.shape, **shapes})
        numbers = float(got[index]), float(right[index]), math.nan, int(wrong.sum()), wrong.size
        raise Mismatch(Finding(name, 0, diagnosis, "", index, *numbers, detail))


def _on_host(x: Any) -> Array:
    return to_numpy(x.data if isinstance(x, Tensor) else x)


def diagnose(
    f: Function, i: int, g: Array | None, numeric: Array | None, v: list[Array], index: Shape
) -> Finding:
    """The finding for input i of `f`, whose computed cotangent is `g`, wrong at `index`.

    `numeric` is the measured one, or None where measuring all of it would take too long.
    """
    shape = f.inputs[i].shape
    if g is None:
        return Finding(f.name, f.order, "nothing", f.names[i])
    if g.shape != shape:
        mistake, detail = _wrong_shape(g, shape, numeric)
        return Finding(f.name, f.order, mistake, f.names[i], index, detail=detail)
    d = f.derivative(i, index, v)
    value, unsure = (d.value, d.unsure) if d else (math.nan, math.nan)
    diagnosis, detail = _mark_of_gradient(f, i, g, numeric, v, value, index)
    if diagnosis != "not finite" and f.order > 1:
        if diagnosis:
            detail = f"There {SENTENCES[diagnosis]}. {detail}".strip()
        diagnosis = "first order only"
    wrong = 1 if numeric is None else max(1, int((~_close_elements(g, numeric)).sum()))
    numbers = float(g[index]), value, unsure, wrong, g.size
    return Finding(f.name, f.order, diagnosis, f.names[i], index, *numbers, detail)


def _mark_of_gradient(
    f: Function, i: int, g: Array, numeric: Array | None, v: list[Array], value: float, index: Shape
) -> tuple[str | None, str]:
    """The simplest mistake that explains the gradient `g`, with details."""
    if numeric is None:  # only the one element is known
        return _mark(g[index].reshape(1), np.array([value]), {})
    others = zip(f.names, f.inputs, strict=True)
    shapes = {"output": f.outputs[0].shape, **{f"`{name}`": x.shape for name, x in others}}
    found = _mark(g, numeric, shapes)
    if found[0] or f.order > 1:
        return found
    if g.size <= SMALL:
        for axis, n in enumerate(v[0].shape):  # what one position on an output axis contributes?
            for position in {0, n - 1} if n > 1 else ():
                only = [np.zeros_like(w) for w in v]
                place = (slice(None),) * axis + (position,)
                only[0][place] = v[0][place]
                if _close(g, f.numeric_gradient(i, only)):
                    place_of = f"It is that of position {position} along output axis {axis}"
                    return "broadcast", place_of
        for k, axes in _reversals(f, i):
            x = f.inputs[k]
            f.put(k, np.flip(x, axes).copy())
            try:
                found_it = _reproduces(f, i, g, v, index)
            finally:
                f.put(k, x)
            if found_it:
                return "filter", f"That of `{f.names[k]}` reversed along {_axes(axes)}"
    for axes in _subsets(g.shape):
        if statistics := _held_constant(g, numeric, f.inputs[i], axes):
            return "statistics", f"It is {statistics} of `{f.names[i]}` over {_axes(axes)}"
    for axes in _subsets(g.shape):
        if _close(g.sum(axes), numeric.sum(axes)):
            return "place", f"Along {_axes(axes)}"
    return None, ""


def _reversals(f: Function, i: int) -> Iterator[tuple[int, Shape]]:
    """Other arguments, small ones, and the axes along which each can be reversed."""
    for k, x in enumerate(f.inputs):
        if k != i and x.size <= SMALL:
            yield from ((k, axes) for axes in _subsets(x.shape))


def _reproduces(f: Function, i: int, g: Array, v: list[Array], index: Shape) -> bool:
    """Whether `g` is the gradient of f as it now is."""
    d = f.derivative(i, index, v)
    return d is not None and _close(g[index], d.value) and _close(g, f.numeric_gradient(i, v))


def _held_constant(g: Array, numeric: Array, x: Array, axes: Shape) -> str:
    """Which statistics of x `g` treats as constants, if it differs from the right gradient by that.

    With the mean as a constant, a constant is missing; with the variance, a multiple of x − mean.
    """
    n = math.prod(g.shape[k] for k in axes)
    size, centred = float(abs(numeric).max(initial=0)), x - x.mean(axes, keepdims=True)
    if n < 4 or float(abs(numeric.mean(axes)).max()) > 1e-6 * size:
        return ""  # too few to tell; or f is not one of x − mean
    missing = g - numeric
    mean = missing.mean(axes, keepdims=True)
    square = np.square(centred).sum(axes, keepdims=True)
    factor = (missing * centred).sum(axes, keepdims=True) / np.where(square, square, 1)
    if not (abs(missing - mean - factor * centred) <= 1e-6 * size).all():
        return ""
    parts = {"the mean": mean, "the variance": factor * centred}
    return " and ".join(name for name, p in parts.items() if abs(p).max() > 1e-6 * size)


def _mark(g: Array, right: Array, shapes: dict[str, Shape]) -> tuple[str | None, str]:
    """The simplest mistake that explains `g`; a factor may be a length in `shapes`."""
    if not np.isfinite(g).all():
        return "not finite", f"{int((~np.isfinite(g)).sum())} of {g.size} elements"
    wrong = ~_close_elements(g, right)
    if not wrong.any():
        return None, ""
    where = "" if wrong.all() else f"At {int(wrong.sum())} of {g.size} elements; the rest agree"
    if not g[wrong].any():
        return "zero", where
    if _close(g[wrong], -right[wrong]):
        return "sign", where
    factor = _factor(g, right)
    name = _name_of(factor, shapes) if factor else ""
    if name or (factor and g.size > 1 and np.count_nonzero(right) > 1):
        return "factor", f"It is {factor:.6g} times what it should be{name}"
    for axes in itertools.permutations(range(g.ndim)) if g.ndim <= 4 else ():
        if axes != tuple(range(g.ndim)) and _close(g, right.transpose(axes).reshape(g.shape)):
            return "transpose", f"Its axes are in the order {axes}"
    for axes in _subsets(g.shape):
        if _close(g, np.flip(right, axes)):
            return "flip", f"It is reversed along {_axes(axes)}"
    for axis, n in enumerate(g.shape):
        for a, b, by in ((0, n - 1, "+1"), (n - 1, 0, "−1")) if n > 2 else ():
            if _close(np.delete(g, a, axis), np.delete(right, b, axis)):
                return "shift", f"It is shifted by {by} along axis {axis}"
    return None, ""


def _wrong_shape(g: Array, shape: Shape, numeric: Array | None) -> tuple[str, str]:
    """A gradient in the output's shape has not been summed; one in another order is transposed."""
    detail = f"It has shape {g.shape}, its input {shape}"
    extra = g.ndim - len(shape)
    if extra >= 0 and all(n in (1, m) for n, m in zip(shape, g.shape[extra:], strict=True)):
        padded = (0,) * extra + shape
        stretched = tuple(k for k in range(g.ndim) if padded[k] != g.shape[k])
        right = numeric is not None and _close(g.sum(stretched).reshape(shape), numeric)
        detail += f": sum it over {_axes(stretched)}" + ", and it is right" * right
        return "broadcast", detail
    return "transpose" if sorted(g.shape) == sorted(shape) else "shape", detail


def _close(a: ArrayLike, b: ArrayLike) -> bool:
    """Equal except for rounding, relative to the largest element; nothing is close to all zeros."""
    a, b = np.asarray(a), np.asarray(b)
    size = float(abs(b).max(initial=0))
    return size > 0 and bool((abs(a - b) <= 1e-6 * size).all())


def _close_elements(g: Array, right: Array) -> Array:
    slack = 1e-9 * float(abs(right).max(initial=0))
    return np.asarray(abs(g - right) <= 1e-5 * abs(right) + slack)


def _factor(g: Array, right: Array) -> float:
    """c where g = c · right, else 0"""
    square = float(np.square(right).sum())
    c = float((g * right).sum()) / square if square else 0.0
    return c if c and _close(g, c * right) and not math.isclose(c, 1, rel_tol=1e-6) else 0.0


def _name_of(factor: float, shapes: dict[str, Shape]) -> str:
    """The length, or the product of lengths, that a factor is made of."""
    for name, shape in shapes.items():
        for axes in _subsets(shape):
            n = math.prod(shape[k] for k in axes)
            where = f"the {'length' if len(axes) == 1 else 'size'} of {_axes(axes)} of {name}"
            if math.isclose(factor, 1 / n, rel_tol=1e-6):
                return f": it is too small by a factor of {n}, {where}. Mean instead of sum?"
            if math.isclose(factor, n, rel_tol=1e-6):
                return f": it is too large by a factor of {n}, {where}. Sum instead of mean?"
            for a, b in ((n - 1, n), (n, n - 1)) if n > 2 else ():
                if math.isclose(factor, a / b, rel_tol=1e-6):
                    return f": it is divided by {b} in place of {a}, and {n} is {where}"
    if any(math.isclose(abs(factor), c, rel_tol=1e-6) for c in (2, 0.5)):
        return ". Is there a square, or a term that counts twice?"
    return ""


def _subsets(shape: Shape) -> Iterator[Shape]:
    """Every choice of axes longer than 1, one, two, three or four of them."""
    axes = [k for k, n in enumerate(shape) if n > 1]
    for count in range(1, min(len(axes), 4) + 1):
        yield from itertools.combinations(axes, count)


def _axes(axes: Shape) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
