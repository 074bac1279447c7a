"""Derivatives from values alone: finite differences, and how far each may be off.

`measure` takes central differences of ⟨v, f(x)⟩ at steps h, h/2 and h/4 and extrapolates them to
h → 0 (Richardson): about 12 digits of a smooth function. `sharpest` compares steps. A `Function`
takes and returns float64 arrays; it wraps Tensor code (`TensorFunction`) or plain NumPy with a
hand-written backward (`NumpyFunction`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinygen._types import Array
from tinygen.autograd import Tensor, grad, to_numpy, xp
from tinygen.autograd import sum as sum_over
from tinygen.testing.diagnosis import Finding, GradientError

Arrays: TypeAlias = list[Array]
Call: TypeAlias = Callable[..., Any]
Live: TypeAlias = dict[str, Tensor]

EPS = float(np.finfo(np.float64).eps)
FIRST_STEP = 2.0**-7  # of a typical element: extrapolated, the error is about FIRST_STEP⁶


class Difference(NamedTuple):
    """The derivative of ⟨v, f⟩ along a direction, measured at one step."""

    step: float  # the longest of three
    value: float  # extrapolated to step 0
    unsure: float  # how far the derivative may be from it: truncation and rounding
    noise: float  # the part of that which is the rounding of f's values
    low: float  # the smaller one-sided derivative of each output, summed over outputs
    high: float  # the larger
    curve: float  # how fast the derivative changes
    scale: float  # the size of the outputs that change, over that of x
    flat: bool  # no output changed
    smooth: bool  # the two sides approach each other like h
    bent: bool  # they stay apart: a kink, or a jump


@np.errstate(all="ignore")  # a step may leave f's domain: then a shorter one is tried
def measure(
    f: Function, i: int, block: Any, direction: Array, v: Arrays, step: float, active: Array
) -> Difference:
    """The derivative of t ↦ ⟨v, f(x + t · direction)⟩ at 0, by central differences.

    c(h) has an error of order h²; 4/3 c(h/2) − 1/3 c(h) cancels it, and a second step the h⁴ term.
    Outputs that never changed, at this or a longer step, are left out, so that their rounding can't
    drown those that do. `active` are the others; it is updated.
    """
    w, c = joined(v), joined(f.outputs)
    central, gaps, changed = [], [], np.zeros(c.shape, bool)
    for h in (step, step / 2, step / 4):
        (a, h_a), (b, h_b) = (_moved(f, i, block, direction, t) for t in (h, -h))
        changed |= (a != c) | (b != c)
        central.append(float((w * (a - b)).sum(where=changed) / (h_a - h_b)))
        gaps.append(float(abs(w * ((a - c) + (b - c))).sum(where=changed) / h))
    active |= changed
    once = [(4 * central[k + 1] - central[k]) / 3 for k in range(2)]
    value = (16 * once[1] - once[0]) / 15
    sides = w * (a - c) / h_a, w * (b - c) / h_b
    low, high = (float(pick(*sides).sum(where=changed)) for pick in (np.minimum, np.maximum))
    of = active if active.any() else np.ones_like(active)
    largest = np.maximum(np.maximum(abs(a), abs(b)), f.sizes)
    noise = 4 * EPS * float((abs(w) * largest).sum(where=of) / (h_a - h_b))
    x = f.inputs[i]
    size = float((abs(w) * f.sizes).sum(where=of) * abs(direction).max()) / typical(x, block)
    scale = max(size, abs(value)) or 1.0
    return Difference(
        step,
        value,
        4 * (abs(value - once[1]) + noise),
        noise,
        low,
        high,
        (high - low) / h,
        scale,
        flat=not changed.any(),
        smooth=all(0.4 * gap < half < 0.6 * gap for gap, half in pairwise(gaps)),
        bent=gaps[2] > max(0.9 * gaps[0], 64 * noise + 1e-6 * scale),
    )


def sharpest(tried: Sequence[Difference]) -> Difference:
    """The most precise measurement, its uncertainty corrected by comparison with the others.

    They come in order of step. A shorter step is less exact: one that agrees with a longer one
    within its own uncertainty says nothing new. One that doesn't shows that f is not smooth over
    the longer step, if a second one confirms it; or that f's values are noisier than their
    rounding: noise η adds an error η / h.
    """
    rounded, candidates, noise = set[float](), list[Difference](), 0.0
    for j, d in enumerate(tried):
        disagree = [e for e in tried[j + 1 :] if abs(e.value - d.value) > e.unsure + d.unsure]
        if d.smooth or max(abs(d.high - d.value), abs(d.low - d.value)) < abs(d.value) / 4:
            rounded |= {e.step for e in disagree if e.flat}  # too short to change f's digits
        refuted = any(
            abs(a.value - b.value) < min(abs(a.value - d.value), abs(b.value - d.value)) / 4
            for a, b in pairwise(e for e in disagree if e.step not in rounded)
        )
        if not refuted:
            noise = max([noise, *(abs(e.value - d.value) * e.step for e in disagree)])
        unsure = np.inf if refuted else d.unsure + 32 * noise / d.step
        if j:  # between steps h and h/16 an error of order h loses 15/16 of itself
            change = abs(d.value - tried[j - 1].value)
            unsure = max(unsure, change * (2 / 15 if j + 1 < len(tried) else 2))
        if d.step not in rounded:
            candidates.append(d._replace(unsure=unsure))
    return min(candidates, key=lambda d: d.unsure)


def _moved(f: Function, i: int, block: Any, direction: Array, t: float) -> tuple[Array, float]:
    """f's values at x + t · direction, and t as rounded there."""
    x = f.inputs[i].copy()
    elements = x.reshape(-1)
    elements[block] += t * direction
    rounded = float(elements[block][0] - f.inputs[i].reshape(-1)[block][0]) / direction[0]
    try:
        return joined(f.values_at(i, x)), rounded
    except (ArithmeticError, ValueError):  # left f's domain
        return joined(f.outputs) * np.nan, rounded


def joined(arrays: Arrays) -> Array:
    """All elements, in one vector."""
    return np.concatenate([a.reshape(-1) for a in arrays])


def typical(x: Array, block: Any = slice(0)) -> float:
    """The size of a typical element, or of the largest in the block; 1 where all are zero."""
    largest = float(abs(x).max(initial=0)) or 1.0
    size = largest * float(np.sqrt(np.square(x / largest).mean())) if x.size else 0.0
    return max(size, float(abs(x.reshape(-1)[block]).max(initial=0))) or 1.0


def step_lengths(x: Array, block: Any) -> list[float]:
    """The steps to try: by what is typical for x, and, for a tiny element, by its own size."""
    size, own = typical(x, block), float(abs(x.reshape(-1)[block]).min()) or 1.0
    sizes = [size / 16**k for k in range(8)]
    sizes += [s for s in (own, own / 16, own / 256) if 0 < s < sizes[-1] / 4]
    return [FIRST_STEP * s for s in sizes]


class Function:
    """A function of float64 arrays, with a gradient to be checked."""

    def __init__(self, name: str, order: int, names: list[str], inputs: Arrays) -> None:
        if not inputs:
            raise ValueError(f"gradcheck: no input of {name} is floating-point, nor any `params`")
        self.name, self.order, self.names, self.inputs = name, order, names, inputs
        self.outputs = self.values()
        self.sizes = abs(joined(self.outputs))  # at least: what they would be if nothing cancelled

    def values_at(self, i: int, x: Array) -> Arrays:
        """The outputs with `x` for input i."""
        raise NotImplementedError

    def gradient(self, v: Arrays) -> Sequence[Array | None]:
        """The cotangent of each input, as computed from those of the outputs."""
        raise NotImplementedError

    def its_vjp(self, v: Arrays) -> Function:
        """(x, v) ↦ x̄, the function that the next order checks."""
        raise NotImplementedError

    def values(self) -> Arrays:
        return self.values_at(0, self.inputs[0])

    def put(self, k: int, x: Array) -> None:
        """Let input k be x from now on."""
        self.inputs[k] = x

    def differences(
        self, i: int, block: Any, along: Array, v: Arrays, active: Array | None = None
    ) -> Iterator[Difference]:
        """The derivative along a direction in input i, at shorter and shorter steps.

        `active` becomes true for the outputs that change.
        """
        active = np.zeros(self.sizes.shape, bool) if active is None else active
        for step in step_lengths(self.inputs[i], block):
            d = measure(self, i, block, along, v, step, active)
            if np.isfinite([d.value, d.low, d.high]).all():
                yield d

    def derivative(self, i: int, index: Any, v: Arrays) -> Difference | None:
        """The derivative along one element of input i, as well as it can be measured."""
        block = np.array([np.ravel_multi_index(index, self.inputs[i].shape) if index else 0])
        tried: list[Difference] = []
        for d in self.differences(i, block, np.ones(1), v):
            tried.append(d)
            if sharpest(tried).unsure <= 1e-8 * abs(d.value):
                break
        return sharpest(tried) if tried else None

    def numeric_gradient(self, i: int, v: Arrays) -> Array:
        """The derivatives along all elements of input i; NaN where they can't be measured."""
        shape = self.inputs[i].shape
        found = [self.derivative(i, index, v) for index in np.ndindex(shape)]
        return np.reshape([d.value if d else np.nan for d in found], shape)


class TensorFunction(Function):
    """A function of Tensors. Its inputs are live: moving one is setting its data."""

    def __init__(
        self, name: str, order: int, names: list[str], live: list[Tensor], call: Call
    ) -> None:
        self.live, self.call = live, call
        super().__init__(name, order, names, [x.numpy() for x in live])

    @classmethod
    def of(cls, name: str, f: Call, inputs: dict[str, Any], params: Live) -> TensorFunction:
        arguments = {n: _in_float64(x) for n, x in inputs.items()}
        live = {n: x for n, x in arguments.items() if isinstance(x, Tensor) and x.requires_grad}

        def call() -> list[Tensor]:
            outputs = _listed(f(*arguments.values()))
            for y in outputs:
                if not isinstance(y, Tensor):
                    got = type(y).__name__
                    raise TypeError(
                        f"gradcheck: {name} gave {got}, no Tensor; for NumPy pass `vjp`"
                    )
            return _all_float64(name, outputs)

        live |= {f"params[{n}]" if n in live else n: p for n, p in params.items()}
        return cls(name, 1, list(live), list(live.values()), call)

    def values_at(self, i: int, x: Array) -> Arrays:
        kept = self.live[i].data
        self.live[i].data = xp.asarray(x)
        try:
            return [to_numpy(y.data) for y in self.call()]
        finally:
            self.live[i].data = kept

    def put(self, k: int, x: Array) -> None:
        self.inputs[k], self.live[k].data = x, xp.asarray(x)

    def gradient(self, v: Arrays) -> Arrays:
        total = _weighted(self.call(), [Tensor(w) for w in v])
        return [g.numpy() for g in grad(total, self.live, allow_unreachable=True)]

    def its_vjp(self, v: Arrays) -> TensorFunction:
        cotangents = [Tensor(w, requires_grad=True) for w in v]
        names = [f"cotangent {i}" for i in range(len(v))] if len(v) > 1 else ["cotangent"]

        def call() -> list[Tensor]:
            total = _weighted(self.call(), cotangents)
            return grad(total, self.live, create_graph=True, allow_unreachable=True)

        names, live = self.names + names, self.live + cotangents
        vjp = TensorFunction(self.name, self.order + 1, names, live, call)
        size = float((abs(joined(v)) * self.sizes).sum())
        sizes = [np.full(x.shape, size / typical(x)) for x in self.inputs]
        vjp.sizes = np.maximum(vjp.sizes, joined(sizes))
        gradients = zip(self.names, self.gradient(v), vjp.outputs, sizes, strict=True)
        for name, g, recorded, size_of in gradients:
            slack = np.maximum(1e-9 * size_of, 1e-7 * abs(g).max(initial=0))
            if not (abs(g - recorded) <= slack + 1e-6 * abs(recorded)).all():
                raise GradientError(Finding(self.name, self.order, "recording", name))
        return vjp


class NumpyFunction(Function):
    """A function of plain arrays, with a hand-written backward."""

    def __init__(self, name: str, f: Call, vjp: Call, inputs: dict[str, Any]) -> None:
        self.f, self.vjp = f, vjp
        arguments = [_in_float64(x) for x in inputs.values()]
        self.arguments = [x.numpy() if isinstance(x, Tensor) else x for x in arguments]
        self.checked = [k for k, x in enumerate(self.arguments) if _is_float(x)]
        names, checked = list(inputs), [self.arguments[k] for k in self.checked]
        super().__init__(name, 1, [names[k] for k in self.checked], checked)

    def values_at(self, i: int, x: Array) -> Arrays:
        k = self.checked[i]
        y = self.f(*_copies([*self.arguments[:k], x, *self.arguments[k + 1 :]]))
        self.single = not isinstance(y, (tuple, list))
        return _all_float64(self.name, [np.array(a) for a in _listed(y)])  # f may reuse them

    def put(self, k: int, x: Array) -> None:
        self.inputs[k] = self.arguments[self.checked[k]] = x

    def gradient(self, v: Arrays) -> list[Array | None]:
        cotangent = v[0].copy() if self.single else tuple(_copies(v))
        gradients = _listed(self.vjp(cotangent, *_copies(self.arguments)))
        count = len(gradients)
        if count == len(self.arguments):
            gradients = [gradients[k] for k in self.checked]
        if len(gradients) != len(self.inputs):
            n = len(self.arguments)
            raise TypeError(f"gradcheck: `vjp` returned {count} arrays for {n} inputs")
        if any(np.iscomplexobj(g) for g in gradients):
            raise TypeError("gradcheck: `vjp` returned complex numbers, expected real ones")
        return [None if g is None else np.asarray(g, np.float64) for g in gradients]


def _weighted(outputs: list[Tensor], cotangents: list[Tensor]) -> Tensor:
    """⟨v, y⟩"""
    total, *rest = (sum_over(y * v) for y, v in zip(outputs, cotangents, strict=True))
    for term in rest:
        total = total + term
    return total


def _listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (tuple, list)) else [y]


def _copies(arrays: Sequence[Any]) -> list[Any]:
    return [x.copy() if isinstance(x, np.ndarray) else x for x in arrays]


def _all_float64(name: str, outputs: list[Any]) -> list[Any]:
    if not outputs or any(not hasattr(y, "dtype") or y.dtype.kind not in "fiub" for y in outputs):
        raise TypeError(f"gradcheck: {name} returned {outputs!r:.60}, expected real arrays")
    for y in outputs:
        if y.dtype != np.float64:
            detail = f"it returned {y.dtype} for float64 inputs: compute in the inputs' dtype"
            raise GradientError(Finding(name, 1, "float32", detail=detail))
    return outputs


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _in_float64(x: Any) -> Any:
    """A floating-point input as a Tensor to differentiate, anything else as it is."""
    x = np.asarray(x) if isinstance(x, (list, tuple)) else x
    if getattr(getattr(x, "dtype", x), "kind", "") == "c" or isinstance(x, complex):
        raise TypeError("gradcheck: expected real inputs, got complex ones")
    return Tensor(Tensor(x).astype(np.float64), requires_grad=True) if _is_float(x) else x
