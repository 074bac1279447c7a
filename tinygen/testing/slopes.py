"""Functions whose gradient is to be checked, and the measurement of their slopes.

`measure` finds the slope of ⟨v, f(x)⟩ along a direction in x from values of f alone. A `Function`
is what it measures: float64 arrays in, float64 arrays out, made of Tensors (`TensorFunction`) or
of plain NumPy with a hand-written backward (`NumpyFunction`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinygen.autograd import Tensor, grad, to_numpy, xp
from tinygen.autograd import sum as sum_over
from tinygen.testing.diagnosis import Finding, GradientError

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

EPS = float(np.finfo(np.float64).eps)
FIRST_STEP = 2.0**-7  # of a typical entry: extrapolated, the error is about FIRST_STEP⁶


# --- the measurement ------------------------------------------------------------------------------


class Slope(NamedTuple):
    value: float  # extrapolated to step 0
    error: float  # what the extrapolation may be off by
    noise: float  # what the rounding of f's values amounts to
    low: float  # Σ over outputs of the lesser of the slopes on either side
    high: float  # and of the greater
    bend: float  # by what the slope changes over an entry's own size
    scale: float  # a typical slope: the size of the outputs that change over that of x
    central: tuple[float, float, float]  # at the steps h, h/2, h/4
    steps: tuple[float, float, float]

    @property
    def unsure(self) -> float:
        """How far a right gradient may be from the value, for all that the measurement can tell."""
        return 4 * (self.error + self.noise) + 1000 * EPS * self.scale


@np.errstate(all="ignore")  # a step may leave f's domain: then a shorter one is tried
def measure(
    f: Function, i: int, block: Any, direction: Floats, v: list[Floats], step: float
) -> Slope:
    """The slope of t ↦ ⟨v, f(x + t · direction)⟩ at 0.

    Outputs that do not change are left out of the sums, so that their rounding can't drown those
    that do. 4/3 c(h/2) − 1/3 c(h) cancels the error of order h², once more that of order h⁴.
    """
    here = f.here()
    central: list[float] = []
    steps = (step, step / 2, step / 4)
    for h in steps:
        ahead, width_a = _moved(f, i, block, h * direction)
        behind, width_b = _moved(f, i, block, -h * direction)
        h_a, h_b = width_a / direction[0], -width_b / direction[0]  # as rounded in floating point
        change = low = high = rounding = size = everything = 0.0
        for w, a, b, c, floor in zip(v, ahead, behind, here, f.floors, strict=True):
            moved = (a != b) | (a != c)
            change += float(np.sum(w * (a - b), where=moved))
            sides = w * (a - c) / h_a, w * (c - b) / h_b
            low += float(np.sum(np.minimum(*sides), where=moved))
            high += float(np.sum(np.maximum(*sides), where=moved))
            rounding += EPS * float(
                np.sum(np.abs(w) * (np.abs(a) + np.abs(b) + 2 * floor), where=moved)
            )
            sizes = np.abs(w) * np.maximum(np.abs(c), floor)
            size, everything = size + float(np.sum(sizes, where=moved)), everything + sizes.sum()
        central.append(change / (h_a + h_b))
        noise = 2 * rounding / (h_a + h_b)
    once = [(4 * central[k + 1] - central[k]) / 3 for k in range(2)]
    value = (16 * once[1] - once[0]) / 15
    bend = (high - low) / steps[-1] * float(np.abs(f.inputs[i].reshape(-1)[block]).max())
    per_reach = float(np.abs(direction).max()) / typical(f.inputs[i], block)
    scale = max((size or float(everything)) * per_reach, abs(value)) or 1.0
    return Slope(
        value,
        abs(value - once[1]),
        noise,
        low,
        high,
        bend,
        scale,
        (central[0], central[1], central[2]),
        steps,
    )


def typical(x: Floats, block: Any = slice(0)) -> float:
    """The size of a typical entry, or of the largest in the block; 1 where all are zero."""
    size = float(np.sqrt(np.square(x).mean())) if x.size else 0.0
    return max(size, float(np.abs(x.reshape(-1)[block]).max(initial=0))) or 1.0


def step_lengths(x: Floats, block: Any) -> list[float]:
    """The steps to try: first by what is typical for x, then, for a tiny entry, by its own size."""
    sizes = [typical(x, block) / 16**k for k in range(8)]
    own = float(np.abs(x.reshape(-1)[block]).min())
    return [FIRST_STEP * h for h in [*sizes, *([own, own / 16, own / 256] if own else [])]]


def _moved(f: Function, i: int, block: Any, step: Floats) -> tuple[list[Floats], float]:
    """f's values with some entries of input i moved, and by how much the first was, as rounded."""
    x = f.inputs[i].copy()
    flat = x.reshape(-1)
    before = flat[block]
    flat[block] = before + step
    width = float(flat[block][0] - before[0])
    try:
        return f.values_at(i, x), width
    except (ArithmeticError, ValueError):  # left f's domain
        return [np.full_like(y, np.nan) for y in f.here()], width


# --- what is measured -----------------------------------------------------------------------------


class Function:
    """A function of float64 arrays, with a gradient to be checked."""

    name: str
    order: int
    names: list[str]
    inputs: list[Floats]
    floors: list[float]  # for each output, what its rounding errors are relative to, at least
    _here: list[Floats] | None = None

    def values(self) -> list[Floats]:
        raise NotImplementedError

    def values_at(self, i: int, x: Floats) -> list[Floats]:
        raise NotImplementedError

    def gradient(self, v: list[Floats]) -> list[Floats]:
        raise NotImplementedError

    def its_vjp(self, v: list[Floats]) -> Function:
        raise NotImplementedError

    def here(self) -> list[Floats]:
        if self._here is None:
            self._here = self.values()
        return self._here

    def slope(self, i: int, index: Any, v: list[Floats]) -> Slope:
        """The slope along one entry of input i, at the step that suits best."""
        flat = np.array([np.ravel_multi_index(index, self.inputs[i].shape) if index else 0])
        tried = []
        for step in step_lengths(self.inputs[i], flat):
            tried.append(measure(self, i, flat, np.ones(1), v, step))
            if tried[-1].unsure <= 1e-8 * tried[-1].scale:
                break
        return min(tried, key=lambda s: s.unsure)

    def numeric_gradient(self, i: int, v: list[Floats]) -> Floats:
        """All slopes along the entries of input i."""
        slopes = [self.slope(i, index, v).value for index in np.ndindex(self.inputs[i].shape)]
        return np.reshape(slopes, self.inputs[i].shape)


class TensorFunction(Function):
    """A function of Tensors. Its inputs are live: moving one is setting its data."""

    def __init__(
        self,
        name: str,
        order: int,
        names: list[str],
        live: list[Tensor],
        call: Callable[[], list[Tensor]],
    ) -> None:
        self.name, self.order, self.names, self.live, self.call = name, order, names, live, call
        self.inputs = [x.numpy() for x in live]
        self.floors = [0.0] * len(self.here())

    @classmethod
    def of(
        cls,
        name: str,
        f: Callable[..., Any],
        names: list[str],
        inputs: Sequence[Any],
        parameters: dict[str, Tensor],
    ) -> TensorFunction:
        given = [_as_live(x) for x in inputs]
        live = {n: x for n, x in zip(names, given, strict=True) if _is_live(x)} | parameters
        if not live:
            raise ValueError(f"gradcheck: no input of {name} is floating-point, nor any `params`")

        def call() -> list[Tensor]:
            y = f(*given)
            outputs = list(y) if isinstance(y, (tuple, list)) else [y]
            if not outputs:
                raise ValueError(f"gradcheck: {name} returned nothing to differentiate")
            for each in outputs:
                if not isinstance(each, Tensor):
                    raise TypeError(
                        f"gradcheck: {name} returned {type(each).__name__}, no Tensor; "
                        f"for a plain NumPy function pass its vjp too"
                    )
                if each.dtype != np.float64:
                    raise GradientError(Finding(name, 1, "float32", dtype=str(each.dtype)))
            return outputs

        return cls(name, 1, list(live), list(live.values()), call)

    def values(self) -> list[Floats]:
        return [to_numpy(y.data) for y in self.call()]

    def values_at(self, i: int, x: Floats) -> list[Floats]:
        kept = self.live[i].data
        self.live[i].data = xp.asarray(x)
        try:
            return self.values()
        finally:
            self.live[i].data = kept

    def gradient(self, v: list[Floats]) -> list[Floats]:
        total = _weighted(self.call(), [Tensor(w) for w in v])
        return [g.numpy() for g in grad(total, self.live, allow_unreachable=True)]

    def its_vjp(self, v: list[Floats]) -> TensorFunction:
        several = len(v) > 1
        cotangents = [Tensor(w, requires_grad=True) for w in v]
        names = [f"cotangent {i}" if several else "cotangent" for i in range(len(v))]

        def call() -> list[Tensor]:
            total = _weighted(self.call(), cotangents)
            return grad(total, self.live, create_graph=True, allow_unreachable=True)

        vjp = TensorFunction(
            self.name, self.order + 1, self.names + names, self.live + cotangents, call
        )
        size = sum(
            float(np.sum(np.abs(w) * np.maximum(np.abs(y), floor)))
            for w, y, floor in zip(v, self.here(), self.floors, strict=True)
        )
        vjp.floors = [size / typical(x) for x in self.inputs]
        for name, x, g, h in zip(
            self.names, self.inputs, self.gradient(v), vjp.values(), strict=False
        ):
            if not np.allclose(g, h, rtol=1e-6, atol=1e-9 * size / typical(x)):
                raise GradientError(Finding(self.name, self.order, "recording", name))
        return vjp


class NumpyFunction(Function):
    """A function of plain arrays, with a hand-written backward."""

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        vjp: Callable[..., Any],
        names: list[str],
        inputs: Sequence[Any],
    ) -> None:
        self.name, self.order, self.f, self.vjp = name, 1, f, vjp
        plain = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
        plain = [np.asarray(x) if isinstance(x, list) else x for x in plain]
        self.given = [np.array(x, np.float64) if _is_float(x) else x for x in plain]
        self.checked = [k for k, x in enumerate(self.given) if _is_float(x)]
        self.names = [names[k] for k in self.checked]
        self.inputs = [self.given[k] for k in self.checked]
        if not self.inputs:
            raise ValueError(f"gradcheck: no input of {name} is floating-point")
        self.floors = [0.0] * len(self.here())

    def _call(self, given: list[Any]) -> list[Floats]:
        y = self.f(*(x.copy() if isinstance(x, np.ndarray) else x for x in given))
        outputs = [np.asarray(a) for a in (y if isinstance(y, (tuple, list)) else [y])]
        for each in outputs:
            if each.dtype != np.float64:
                raise GradientError(Finding(self.name, 1, "float32", dtype=str(each.dtype)))
        self.single = not isinstance(y, (tuple, list))
        return outputs

    def values(self) -> list[Floats]:
        return self._call(self.given)

    def values_at(self, i: int, x: Floats) -> list[Floats]:
        k = self.checked[i]
        return self._call([*self.given[:k], x, *self.given[k + 1 :]])

    def gradient(self, v: list[Floats]) -> list[Floats]:
        copies = [x.copy() if isinstance(x, np.ndarray) else x for x in self.given]
        cotangent = v[0].copy() if self.single else tuple(w.copy() for w in v)
        result = self.vjp(cotangent, *copies)
        found = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(found) == len(self.given):
            found = [found[k] for k in self.checked]
        if len(found) != len(self.inputs):
            raise TypeError(
                f"gradcheck: vjp returned {len(found)} arrays for {len(self.given)} inputs"
            )
        return [np.asarray(g, np.float64) for g in found]

    def its_vjp(self, v: list[Floats]) -> Function:
        return self  # a hand-written backward has no recorded gradient of its own


def _weighted(outputs: list[Tensor], cotangents: list[Tensor]) -> Tensor:
    """⟨v, y⟩"""
    total = sum_over(outputs[0] * cotangents[0])
    for y, v in zip(outputs[1:], cotangents[1:], strict=True):
        total = total + sum_over(y * v)
    return total


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _is_live(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _as_live(x: Any) -> Any:
    """A floating-point input as a Tensor to differentiate, anything else as it is."""
    if isinstance(x, list):
        x = np.asarray(x)
    if not _is_float(x):
        return x
    return Tensor(Tensor(x).astype(np.float64), requires_grad=True)
