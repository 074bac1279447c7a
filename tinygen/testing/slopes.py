"""Functions whose gradient is to be checked, and the measurement of their slopes.

`measure` finds the slope of ⟨v, f(x)⟩ along a direction in x from values of f alone: central
differences at steps h, h/2 and h/4, extrapolated to h → 0 (Richardson), exact to about 12 digits.
A `Function` takes and gives float64 arrays; it is made of Tensors (`TensorFunction`) or of plain
NumPy with a hand-written backward (`NumpyFunction`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
FIRST_STEP = 2.0**-7  # of a typical entry: extrapolated, the error is about FIRST_STEP⁶


class Slope(NamedTuple):
    step: float  # the longest of three
    value: float  # extrapolated to step 0
    error: float  # what the extrapolation may be off by
    noise: float  # what the rounding of f's values amounts to
    low: float  # Σ over outputs of the lesser of the slopes on either side
    high: float  # and of the greater
    bend: float  # by what the slope changes over an entry's own size
    scale: float  # a typical slope: the size of the outputs that change over that of x

    @property
    def unsure(self) -> float:
        """How far a right gradient may be from the value, for all that the measurement can tell."""
        return 4 * (self.error + self.noise) + 1000 * EPS * self.scale


@np.errstate(all="ignore")  # a step may leave f's domain: then a shorter one is tried
def measure(f: Function, i: int, block: Any, direction: Array, v: Arrays, step: float) -> Slope:
    """The slope of t ↦ ⟨v, f(x + t · direction)⟩ at 0.

    Outputs that do not change are left out of the sums, so that their rounding can't drown those
    that do. 4/3 c(h/2) − 1/3 c(h) cancels the error of order h², once more that of order h⁴.
    """
    w, c, floor = flat(v), flat(f.here), flat(f.floors)
    central = []
    for h in (step, step / 2, step / 4):
        (a, h_a), (b, h_b) = (_moved(f, i, block, direction, t) for t in (h, -h))
        moved = (a != b) | (a != c)
        central.append(float((w * (a - b)).sum(where=moved) / (h_a - h_b)))
    once = [(4 * central[k + 1] - central[k]) / 3 for k in range(2)]
    value = (16 * once[1] - once[0]) / 15
    sides = w * (a - c) / h_a, w * (b - c) / h_b
    low, high = (float(pick(*sides).sum(where=moved)) for pick in (np.minimum, np.maximum))
    rounding = EPS * (abs(w) * (abs(a) + abs(b) + 2 * floor)).sum(where=moved)
    sizes = abs(w) * np.maximum(abs(c), floor)
    size = float(sizes.sum(where=moved) or sizes.sum())
    x = f.inputs[i]
    bend = (high - low) / h * float(abs(x.reshape(-1)[block]).max())
    scale = max(size * float(abs(direction).max()) / typical(x, block), abs(value)) or 1.0
    noise = 2 * float(rounding) / (h_a - h_b)
    return Slope(step, value, abs(value - once[1]), noise, low, high, bend, scale)


def _moved(f: Function, i: int, block: Any, direction: Array, t: float) -> tuple[Array, float]:
    """f's values at x + t · direction, and what t is as rounded there."""
    x = f.inputs[i].copy()
    entries = x.reshape(-1)
    entries[block] += t * direction
    rounded = float(entries[block][0] - f.inputs[i].reshape(-1)[block][0]) / direction[0]
    try:
        return flat(f.values_at(i, x)), rounded
    except (ArithmeticError, ValueError):  # left f's domain
        return flat(f.here) * np.nan, rounded


def flat(arrays: Arrays) -> Array:
    return np.concatenate([a.reshape(-1) for a in arrays])


def typical(x: Array, block: Any = slice(0)) -> float:
    """The size of a typical entry, or of the largest in the block; 1 where all are zero."""
    size = float(np.sqrt(np.square(x).mean())) if x.size else 0.0
    return max(size, float(abs(x.reshape(-1)[block]).max(initial=0))) or 1.0


def step_lengths(x: Array, block: Any) -> list[float]:
    """The steps to try: first by what is typical for x, then, for a tiny entry, by its own size."""
    sizes = [typical(x, block) / 16**k for k in range(8)]
    own = float(abs(x.reshape(-1)[block]).min())
    return [FIRST_STEP * h for h in [*sizes, *([own, own / 16, own / 256] if own else [])]]


class Function:
    """A function of float64 arrays, with a gradient to be checked."""

    def __init__(self, name: str, order: int, names: list[str], inputs: Arrays) -> None:
        if not inputs:
            raise ValueError(f"gradcheck: no input of {name} is floating-point, nor any `params`")
        self.name, self.order, self.names, self.inputs = name, order, names, inputs
        self.here = self.values()
        # for each output, what its rounding errors are relative to, at least
        self.floors = [np.zeros_like(y) for y in self.here]

    def values_at(self, i: int, x: Array) -> Arrays:
        """The outputs with `x` for input i."""
        raise NotImplementedError

    def gradient(self, v: Arrays) -> Arrays:
        """The cotangent of each input, as computed from those of the outputs."""
        raise NotImplementedError

    def values(self) -> Arrays:
        return self.values_at(0, self.inputs[0])

    def slope(self, i: int, index: Any, v: Arrays) -> Slope:
        """The slope along one entry of input i, at the step that suits best."""
        entry = np.array([np.ravel_multi_index(index, self.inputs[i].shape) if index else 0])
        tried = []
        for step in step_lengths(self.inputs[i], entry):
            tried.append(measure(self, i, entry, np.ones(1), v, step))
            if tried[-1].unsure <= 1e-8 * tried[-1].scale:
                break
        return min(tried, key=lambda s: s.unsure)

    def numeric_gradient(self, i: int, v: Arrays) -> Array:
        """All slopes along the entries of input i."""
        shape = self.inputs[i].shape
        return np.reshape([self.slope(i, index, v).value for index in np.ndindex(shape)], shape)


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

        live |= params
        return cls(name, 1, list(live), list(live.values()), call)

    def values_at(self, i: int, x: Array) -> Arrays:
        kept = self.live[i].data
        self.live[i].data = xp.asarray(x)
        try:
            return [to_numpy(y.data) for y in self.call()]
        finally:
            self.live[i].data = kept

    def gradient(self, v: Arrays) -> Arrays:
        total = _weighted(self.call(), [Tensor(w) for w in v])
        return [g.numpy() for g in grad(total, self.live, allow_unreachable=True)]

    def its_vjp(self, v: Arrays) -> TensorFunction:
        """(x, v) ↦ x̄, the function that the next order checks."""
        cotangents = [Tensor(w, requires_grad=True) for w in v]
        names = [f"cotangent {i}" for i in range(len(v))] if len(v) > 1 else ["cotangent"]

        def call() -> list[Tensor]:
            total = _weighted(self.call(), cotangents)
            return grad(total, self.live, create_graph=True, allow_unreachable=True)

        names, live = self.names + names, self.live + cotangents
        vjp = TensorFunction(self.name, self.order + 1, names, live, call)
        size = float((abs(flat(v)) * np.maximum(abs(flat(self.here)), flat(self.floors))).sum())
        vjp.floors = [np.full(x.shape, size / typical(x)) for x in self.inputs]
        gradients = zip(self.names, self.gradient(v), vjp.here, vjp.floors, strict=True)
        for name, g, recorded, floor in gradients:
            if not np.allclose(g, recorded, rtol=1e-6, atol=1e-9 * floor):
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
        return _all_float64(self.name, [np.asarray(a) for a in _listed(y)])

    def gradient(self, v: Arrays) -> Arrays:
        cotangent = v[0].copy() if self.single else tuple(_copies(v))
        gradients = _listed(self.vjp(cotangent, *_copies(self.arguments)))
        count = len(gradients)
        if count == len(self.arguments):
            gradients = [gradients[k] for k in self.checked]
        if len(gradients) != len(self.inputs):
            n = len(self.arguments)
            raise TypeError(f"gradcheck: `vjp` returned {count} arrays for {n} inputs")
        return [np.asarray(g, np.float64) for g in gradients]


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
    for y in outputs:
        if y.dtype != np.float64:
            detail = f"it returned {y.dtype} for float64 inputs: compute in the inputs' dtype"
            raise GradientError(Finding(name, 1, "float32", detail=detail))
    return outputs


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _in_float64(x: Any) -> Any:
    """A floating-point input as a Tensor to differentiate, anything else as it is."""
    x = np.asarray(x) if isinstance(x, list) else x
    return Tensor(Tensor(x).astype(np.float64), requires_grad=True) if _is_float(x) else x
