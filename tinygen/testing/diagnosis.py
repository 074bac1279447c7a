"""What is wrong with a gradient: the computed one, compared with the measured, named as a mistake.

Most wrong gradients are one of a dozen mistakes, and each leaves a mark: the sign everywhere
flipped, one factor everywhere, the right numbers in transposed places. `diagnose` looks for the
marks, the plainest first; `GradientError` says what it found in sentences. Where no mark fits, the
entry and the numbers speak for themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygen._types import Array

__all__ = ["GradientError"]

Floats = Array

SENTENCES = {
    "nondeterministic": "called twice with the same input it gave different values; draw random "
    "numbers outside of it, or from a generator that is made anew at each call",
    "float32": "its values are too coarse to tell a right gradient from a wrong one",
    "coarse": "its values are too coarse to tell a right gradient from a wrong one: they change in "
    "jumps, as if rounded to float32 on the way",
    "undefined": "its inputs, or its values there, are infinite or not numbers: there is no slope",
    "recording": "with create_graph=True it comes out different: the vjp takes another path when "
    "it is recorded",
    "not finite": "the computed gradient is not a number, or infinite",
    "shape": "the gradient has another shape than its input",
    "zero": "it is zero where it should not be: no gradient arrives, as if this were a constant",
    "sign": "its sign is flipped",
    "factor": "it is off by a constant factor",
    "transpose": "it is right but for its axes, which are transposed",
    "flip": "it is right but for its order, which is reversed",
    "shift": "it is right but for its place: it is shifted by one entry",
    "broadcast": "a sum over a broadcast axis is missing",
    "first order only": "the gradient itself is right, but only to first order: its own gradient "
    "is wrong. Something in the vjp that depends on the inputs is treated as a constant (a plain "
    "array where a Tensor belongs)",
}


class Finding(NamedTuple):
    """One wrong gradient: where, by how much, and which mistake it looks like (None: unknown)."""

    function: str
    order: int
    diagnosis: str | None
    argument: str = ""
    entry: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    analytic: float | None = None
    numeric: tuple[float, float, float] | None = None  # at three step sizes
    steps: tuple[float, float, float] | None = None
    extrapolated: float | None = None
    wrong: int = 0  # so many entries
    total: int = 0  # of so many compared
    detail: str = ""
    dtype: str = ""

    def __str__(self) -> str:
        what = "gradient" if self.order == 1 else f"gradient of order {self.order}"
        lines = [f"{self.function}: the {what} is not right"]
        if self.argument:
            lines[0] = f"{self.function}: the {what} with respect to `{self.argument}` is wrong"
        if self.analytic is not None and self.numeric and self.steps:
            place = f"at {[int(i) for i in self.entry]} " if self.entry else ""
            lines[0] += f" {place}({self.wrong} of {self.total} entries)"
            lines.append(f"  computed {self.analytic:.10g}")
            tries = ", ".join(
                f"{n:.10g} at step {h:.1g}" for n, h in zip(self.numeric, self.steps, strict=True)
            )
            lines.append(f"  measured {self.extrapolated:.10g} ({tries})")
        if self.diagnosis:
            lines.append(f"  {SENTENCES[self.diagnosis]}")
        if self.dtype:
            lines.append(
                f"  it returned {self.dtype} for float64 inputs: compute in the inputs' dtype"
            )
        if self.detail:
            lines.append(f"  {self.detail}")
        return "\n".join(lines)


class GradientError(AssertionError):
    """A gradient is wrong. `finding` holds what is known of it; `diagnosis` names the mistake."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding
        self.diagnosis = finding.diagnosis


def diagnose(
    f: Any, i: int, g: Floats, numeric: Floats | None, v: list[Floats], index: tuple[int, ...]
) -> Finding:
    """The finding for input i of `f`, whose computed cotangent is `g`, wrong at `index`.

    `numeric` is the measured one, or None where measuring all of it would take too long.
    """
    shape = f.inputs[i].shape
    finding = Finding(f.name, f.order, None, f.names[i], index, shape)
    diagnosis: str | None
    if g.shape != shape:
        diagnosis, detail = _wrong_shape(g, shape, numeric)
        return finding._replace(diagnosis=diagnosis, detail=detail)
    slope = f.slope(i, index, v)
    diagnosis, detail = next(_marks(f, i, g, numeric, v, slope.value, index), (None, ""))
    if diagnosis != "not finite" and f.order > 1:
        if diagnosis:
            detail = f"There {SENTENCES[diagnosis]}. {detail}".strip()
        diagnosis = "first order only"
    wrong = 1 if numeric is None else max(1, int((~_close_entries(g, numeric)).sum()))
    return finding._replace(
        diagnosis=diagnosis,
        detail=detail,
        analytic=float(g[index]),
        extrapolated=slope.value,
        numeric=slope.central,
        steps=slope.steps,
        wrong=wrong,
        total=g.size,
    )


def _marks(
    f: Any, i: int, g: Floats, numeric: Floats | None, v: list[Floats], slope: float, index: Any
) -> Iterator[tuple[str, str]]:
    """The mistakes whose mark `g` bears, the plainest first, each with what is known of it."""
    if not np.isfinite(g).all():
        yield "not finite", f"{int((~np.isfinite(g)).sum())} of {g.size} entries"
        return
    if numeric is None:  # only the one entry is known
        if g[index] == 0:
            yield "zero", ""
        elif np.isclose(g[index], -slope, rtol=1e-5):
            yield "sign", ""
        return
    wrong = ~_close_entries(g, numeric)
    if not wrong.any():
        return
    where = "" if wrong.all() else f"at {int(wrong.sum())} of {g.size} entries; the rest agree"
    if not g[wrong].any():
        yield "zero", where
    if _close(g[wrong], -numeric[wrong]):
        yield "sign", where
    factor = _factor(g, numeric)
    if factor:
        name = _name_of(factor, f, i)
        if name or (g.size > 1 and np.count_nonzero(numeric) > 1):
            yield "factor", f"It is {factor:.6g} times what it should be{name}"
    for axes in itertools.permutations(range(g.ndim)) if g.ndim <= 4 else ():
        moved = numeric.transpose(axes)
        if axes != tuple(range(g.ndim)) and moved.size == g.size:
            if _close(g, moved.reshape(g.shape)):
                yield "transpose", f"Its axes stand in the order {axes}"
    for count in range(1, min(g.ndim, 4) + 1):
        for flipped in itertools.combinations(range(g.ndim), count):
            if _close(g, np.flip(numeric, flipped)):
                yield "flip", f"It is reversed along {_axes(flipped)}"
    for axis in range(g.ndim):
        if g.shape[axis] > 2:
            most = range(g.shape[axis] - 1)
            ahead, behind = np.delete(g, 0, axis), np.take(g, most, axis)
            if _close(ahead, np.take(numeric, most, axis)):
                yield "shift", f"It stands one too far along axis {axis}"
            if _close(behind, np.delete(numeric, 0, axis)):
                yield "shift", f"It stands one too early along axis {axis}"
    if f.order == 1:
        yield from _missing_sum(f, i, g, v)


def _missing_sum(f: Any, i: int, g: Floats, v: list[Floats]) -> Iterator[tuple[str, str]]:
    """Whether `g` is what only one position along some output axis contributes."""
    if g.size > 256:
        return
    for axis in range(v[0].ndim):
        for position in (0, v[0].shape[axis] - 1) if v[0].shape[axis] > 1 else ():
            only = np.zeros_like(v[0])
            place = (slice(None),) * axis + (position,)
            only[place] = v[0][place]
            if _close(g, f.numeric_gradient(i, [only, *(np.zeros_like(w) for w in v[1:])])):
                yield (
                    "broadcast",
                    (
                        f"It holds only what position {position} along axis {axis} of "
                        f"the output contributes"
                    ),
                )


def _wrong_shape(g: Floats, shape: tuple[int, ...], numeric: Floats | None) -> tuple[str, str]:
    """A gradient in the output's shape has not been summed; one in another order is transposed."""
    said = f"It has shape {g.shape}, its input {shape}"
    extra = g.ndim - len(shape)
    if extra >= 0 and all(n in (1, m) for n, m in zip(shape, g.shape[extra:], strict=True)):
        stretched = tuple(k for k in range(g.ndim) if k < extra or shape[k - extra] != g.shape[k])
        fits = numeric is not None and _close(g.sum(stretched).reshape(shape), numeric)
        return "broadcast", f"{said}: sum it over {_axes(stretched)}" + (
            ", and it is right" if fits else ""
        )
    if g.size == int(np.prod(shape)) and sorted(g.shape) == sorted(shape):
        return "transpose", said
    return "shape", said


def _close(a: Floats, b: Floats) -> bool:
    """Equal but for rounding, relative to the largest entry; nothing is close to all zeros."""
    size = float(np.abs(b).max(initial=0))
    return size > 0 and bool((np.abs(a - b) <= 1e-6 * size).all())


def _close_entries(g: Floats, numeric: Floats) -> Floats:
    slack = 1e-9 * float(np.abs(numeric).max(initial=0))
    close: Floats = np.abs(g - numeric) <= 1e-5 * np.abs(numeric) + slack
    return close


def _factor(g: Floats, numeric: Floats) -> float:
    """c where g = c · numeric, else 0."""
    square = float(np.square(numeric).sum())
    c = float((g * numeric).sum()) / square if square else 0.0
    return c if c and _close(g, c * numeric) and not np.isclose(c, 1, rtol=1e-6) else 0.0


def _name_of(factor: float, f: Any, i: int) -> str:
    """The length, or the count of entries, that a factor is equal or inverse to."""
    lengths: dict[int, str] = {}
    outputs = [("output", y) for y in f.here()]
    for name, a in [
        *outputs,
        (f"`{f.names[i]}`", f.inputs[i]),
        *((f"`{n}`", x) for n, x in zip(f.names, f.inputs, strict=True)),
    ]:
        if a.ndim > 1 or name != "output":
            for axis, n in enumerate(a.shape):
                batch = ", the batch" if axis == 0 and a.ndim > 1 else ""
                lengths.setdefault(n, f"the length of axis {axis} of {name}{batch}")
        if a.ndim:
            lengths.setdefault(a.size, f"the number of entries of {name}")
            for r in range(2, a.ndim):
                for axes in itertools.combinations(range(a.ndim), r):
                    count = int(np.prod([a.shape[k] for k in axes]))
                    lengths.setdefault(count, f"the number of entries in {_axes(axes)} of {name}")
    for n, name in lengths.items():
        if n > 1 and np.isclose(factor, 1 / n, rtol=1e-6):
            return f": it is divided by {n} once too often, {name}. A mean for a sum?"
        if n > 1 and np.isclose(factor, n, rtol=1e-6):
            return f": it is multiplied by {n} too much, {name}. A sum for a mean?"
    if np.isclose(abs(factor), 2, rtol=1e-6) or np.isclose(abs(factor), 0.5, rtol=1e-6):
        return ". Is there a square, or a term that counts twice?"
    return ""


def _axes(axes: tuple[int, ...]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
