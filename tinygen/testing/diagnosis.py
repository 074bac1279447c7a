"""What is wrong with a gradient: the computed one, compared with the measured, named as a mistake.

Most wrong gradients are one of a dozen mistakes, and each leaves a mark: the sign everywhere
flipped, one factor everywhere, the right numbers in transposed places. `diagnose` looks for the
marks, the plainest first; `GradientError` says what it found in sentences. Where no mark fits, the
entry and the numbers speak for themselves.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tinygen._types import Array, Shape

if TYPE_CHECKING:
    from tinygen.testing.slopes import Function

__all__ = ["GradientError"]

SENTENCES = {
    "nondeterministic": "two calls with the same input gave different values: draw random numbers "
    "outside of it",
    "float32": "its values are too coarse to tell a right gradient from a wrong one",
    "coarse": "its values change in jumps, as if rounded to float32: too coarse for a check",
    "undefined": "its inputs, or its values there, are infinite or not numbers: there is no slope",
    "recording": "with create_graph=True it comes out different: the vjp takes another path then",
    "not finite": "the computed gradient is not a number, or infinite",
    "shape": "the gradient has another shape than its input",
    "zero": "it is zero where it should not be: no gradient arrives, as if this were a constant",
    "sign": "its sign is flipped",
    "factor": "it is off by a constant factor",
    "transpose": "it is right except for its axes, which are transposed",
    "flip": "it is right except for its order, which is reversed",
    "shift": "it is right except for its place: it is shifted by one entry",
    "broadcast": "a sum over a broadcast axis is missing",
    "first order only": "to first order it is right, but its own gradient is wrong: something in\n"
    "  the vjp that depends on the inputs is treated as a constant (a plain array, no Tensor)",
}


class Finding(NamedTuple):
    """One wrong gradient: where, by how much, and which mistake it looks like (None: unknown)."""

    function: str
    order: int
    diagnosis: str | None
    argument: str = ""
    entry: Shape = ()
    computed: float | None = None
    measured: float = math.nan
    unsure: float = math.nan  # how far the measured one may be off
    wrong: int = 0  # of all entries
    total: int = 0
    detail: str = ""

    def __str__(self) -> str:
        what = "gradient" if self.order == 1 else f"gradient of order {self.order}"
        subject = f" with respect to `{self.argument}`" if self.argument else ""
        lines = [f"{self.function}: the {what}{subject} is wrong"]
        if self.computed is not None:
            place = f" at {list(self.entry)}" if self.entry else ""
            lines[0] += f"{place} ({self.wrong} of {self.total} entries)"
            lines.append(f"computed {self.computed:.10g}")
            lines.append(f"measured {self.measured:.10g} (± {self.unsure:.1g})")
        lines += [SENTENCES[self.diagnosis]] if self.diagnosis else []
        return "\n  ".join([*lines, self.detail] if self.detail else lines)


class GradientError(AssertionError):
    """A gradient is wrong. `finding` holds what is known of it; `diagnosis` names the mistake."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding, self.diagnosis = finding, finding.diagnosis


def diagnose(
    f: Function, i: int, g: Array, numeric: Array | None, v: list[Array], index: Shape
) -> Finding:
    """The finding for input i of `f`, whose computed cotangent is `g`, wrong at `index`.

    `numeric` is the measured one, or None where measuring all of it would take too long.
    """
    shape = f.inputs[i].shape
    if g.shape != shape:
        mistake, detail = _wrong_shape(g, shape, numeric)
        return Finding(f.name, f.order, mistake, f.names[i], index, detail=detail)
    slope = f.slope(i, index, v)
    diagnosis, detail = _mark(f, i, g, numeric, v, slope.value, index)
    if diagnosis != "not finite" and f.order > 1:
        if diagnosis:
            detail = f"There {SENTENCES[diagnosis]}. {detail}".strip()
        diagnosis = "first order only"
    wrong = 1 if numeric is None else max(1, int((~_close_entries(g, numeric)).sum()))
    numbers = float(g[index]), slope.value, slope.unsure, wrong, g.size
    return Finding(f.name, f.order, diagnosis, f.names[i], index, *numbers, detail)


def _mark(
    f: Function, i: int, g: Array, numeric: Array | None, v: list[Array], slope: float, index: Shape
) -> tuple[str | None, str]:
    """The plainest mistake whose mark `g` bears, and what is known of it."""
    if not np.isfinite(g).all():
        return "not finite", f"{int((~np.isfinite(g)).sum())} of {g.size} entries"
    single = numeric is None  # only the one entry is known
    if numeric is None:
        g, numeric = g[index].reshape(1), np.array([slope])
    wrong = ~_close_entries(g, numeric)
    if not wrong.any():
        return None, ""
    where = "" if wrong.all() else f"at {int(wrong.sum())} of {g.size} entries; the rest agree"
    if not g[wrong].any():
        return "zero", where
    if _close(g[wrong], -numeric[wrong]):
        return "sign", where
    if single:
        return None, ""
    factor = _factor(g, numeric)
    name = _name_of(factor, f, i) if factor else ""
    if name or (factor and g.size > 1 and np.count_nonzero(numeric) > 1):
        return "factor", f"It is {factor:.6g} times what it should be{name}"
    for axes in itertools.permutations(range(g.ndim)) if g.ndim <= 4 else ():
        if axes != tuple(range(g.ndim)) and _close(g, numeric.transpose(axes).reshape(g.shape)):
            return "transpose", f"Its axes stand in the order {axes}"
    for count in range(1, min(g.ndim, 4) + 1):
        for axes in itertools.combinations(range(g.ndim), count):
            if _close(g, np.flip(numeric, axes)):
                return "flip", f"It is reversed along {_axes(axes)}"
    for axis, n in enumerate(g.shape):
        for a, b, way in ((0, n - 1, "far"), (n - 1, 0, "early")) if n > 2 else ():
            if _close(np.delete(g, a, axis), np.delete(numeric, b, axis)):
                return "shift", f"It stands one too {way} along axis {axis}"
    # is it what only one position along some output axis contributes?
    axes = tuple(range(v[0].ndim)) if f.order == 1 and g.size <= 256 else ()
    for axis in axes:
        for position in {0, v[0].shape[axis] - 1} if v[0].shape[axis] > 1 else ():
            only = [np.zeros_like(w) for w in v]
            place = (slice(None),) * axis + (position,)
            only[0][place] = v[0][place]
            if _close(g, f.numeric_gradient(i, only)):
                return "broadcast", f"It is that of position {position} along output axis {axis}"
    return None, ""


def _wrong_shape(g: Array, shape: Shape, numeric: Array | None) -> tuple[str, str]:
    """A gradient in the output's shape has not been summed; one in another order is transposed."""
    detail = f"It has shape {g.shape}, its input {shape}"
    extra = g.ndim - len(shape)
    if extra >= 0 and all(n in (1, m) for n, m in zip(shape, g.shape[extra:], strict=True)):
        padded = (0,) * extra + shape
        stretched = tuple(k for k in range(g.ndim) if padded[k] != g.shape[k])
        right = numeric is not None and _close(g.sum(stretched).reshape(shape), numeric)
        return (
            "broadcast",
            f"{detail}: sum it over {_axes(stretched)}" + ", and it is right" * right,
        )
    return "transpose" if sorted(g.shape) == sorted(shape) else "shape", detail


def _close(a: Array, b: Array) -> bool:
    """Equal except for rounding, relative to the largest entry; nothing is close to all zeros."""
    size = float(abs(b).max(initial=0))
    return size > 0 and bool((abs(a - b) <= 1e-6 * size).all())


def _close_entries(g: Array, numeric: Array) -> Array:
    slack = 1e-9 * float(abs(numeric).max(initial=0))
    return np.asarray(abs(g - numeric) <= 1e-5 * abs(numeric) + slack)


def _factor(g: Array, numeric: Array) -> float:
    """c where g = c · numeric, else 0."""
    square = float(np.square(numeric).sum())
    c = float((g * numeric).sum()) / square if square else 0.0
    return c if c and _close(g, c * numeric) and not math.isclose(c, 1, rel_tol=1e-6) else 0.0


def _name_of(factor: float, f: Function, i: int) -> str:
    """The length, or the product of lengths, that a factor is equal or inverse to."""
    arrays = [("output", y) for y in f.here] + [(f"`{f.names[i]}`", f.inputs[i])]
    arrays += [(f"`{n}`", x) for n, x in zip(f.names, f.inputs, strict=True)]
    for name, a in arrays:
        for count in range(1, a.ndim + 1):
            for axes in itertools.combinations(range(a.ndim), count):
                n = math.prod(a.shape[k] for k in axes)
                where = f"the {'length' if count == 1 else 'size'} of {_axes(axes)} of {name}"
                if n > 1 and math.isclose(factor, 1 / n, rel_tol=1e-6):
                    return f": it is divided by {n} once too often, {where}. A mean for a sum?"
                if n > 1 and math.isclose(factor, n, rel_tol=1e-6):
                    return f": it is multiplied by {n} too much, {where}. A sum for a mean?"
    if any(math.isclose(abs(factor), c, rel_tol=1e-6) for c in (2, 0.5)):
        return ". Is there a square, or a term that counts twice?"
    return ""


def _axes(axes: Shape) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
