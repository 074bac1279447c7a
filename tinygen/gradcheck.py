r"""A checker of gradients: it differentiates numerically, compares, and says what is wrong.

Let f take arrays x to arrays y. A gradient is checked through its vector–Jacobian product: draw a
random cotangent v, and compare x̄ = Jᵀ v, as computed, with the slope of the scalar ⟨v, f(x)⟩ along
each entry of x, as measured. Three things make the comparison hard to fool.

- v is random. With v = 1 a softmax whose gradient is always 0 would pass: its sum is constant.
- Every entry is tried. Past `entries` of them, entries are tried in groups, each moved along a
  random direction, and a group that fails is searched for the entry.
- The slope is exact to about 12 digits: central differences at steps h, h/2, h/4, extrapolated to
  h → 0 (Richardson), with an estimate of their own error. Only where the step is too long for the
  function (a kink nearby, a fast oscillation) are shorter ones tried. So an entry that is wrong by
  1e-4 stands out by far, whatever the scale of f.

The vjp is a function too, (x, v) ↦ x̄, and so order 2 is the same check again, of the vjp.

Reading order: `gradcheck`; `_check`, the comparison; `_slope`, the measurement; `_Function`, what
is measured. What an error says is worked out in diagnosis.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinygen.backend import to_numpy, xp
from tinygen.diagnosis import Finding, GradientError, diagnose
from tinygen.tensor import Tensor, grad
from tinygen.tensor import sum as sum_over

__all__ = ["GradientError", "Report", "gradcheck"]

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

EPS = float(np.finfo(np.float64).eps)
FIRST_STEP = 2.0**-7  # of an entry's scale: extrapolated, the error is about FIRST_STEP⁶
SHORTER = 16.0  # each next level's step is so many times shorter
LEVELS = 8
TOO_COARSE = 1e-5  # a slope known no better than this, relative to f's scale, can't tell


@dataclass
class Report:
    """What was checked. True, so that `assert gradcheck(f, x)` reads well."""

    function: str
    order: int
    checks: int = 0
    kinks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.function}: right to order {self.order}, {self.checks} slopes compared"
        if self.kinks:
            text += (
                f"; at {len(self.kinks)} of them f has a kink, where any value between the slopes "
                f"on either side is accepted: {', '.join(self.kinks[:5])}"
            )
        return text


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 2,
    rng: np.random.Generator | None = None,
    atol: float = 0.0,
    rtol: float = 1e-7,
    params: Mapping[str, Tensor] | Sequence[Tensor] | None = None,
    vjp: Callable[..., Any] | None = None,
    entries: int = 1024,
) -> Report:
    """Check the gradient of `f` at `inputs`; raise a GradientError that says what is wrong with it.

    `f` takes Tensors and returns a Tensor, or several. Floating-point inputs are checked, all in
    float64; others are passed on as they are. `params` are Tensors that `f` uses beside its
    inputs: a list, or a dict from names. `order=2` checks the gradient's own gradient too.

    With `vjp`, `f` is a function of plain NumPy arrays, and `vjp(g, *inputs)` a hand-written
    backward: from the cotangent of the output to that of each input (an array for one input, a
    tuple for several). It is checked to first order.

    An entry passes if it is within `atol + rtol · |slope|`, plus what is unsure about the slope.
    """
    if order < 1:
        raise ValueError(f"gradcheck: expected order ≥ 1, got {order}")
    rng = np.random.default_rng(0) if rng is None else rng
    name = getattr(f, "__name__", type(f).__name__)
    names = _argument_names(f, len(inputs))
    if vjp is not None:
        if params is not None:
            raise TypeError("gradcheck: `params` are Tensors, but with `vjp` f is plain NumPy")
        report = Report(name, 1)
        _check(_NumpyFunction(name, f, vjp, names, inputs), report, rng, atol, rtol, entries)
        return report

    report = Report(name, order)
    with _in_float64(params) as parameters:
        function: _Function = _TensorFunction.of(name, f, names, inputs, parameters)
        for _ in range(order):
            cotangents = _check(function, report, rng, atol, rtol, entries)
            function = function.its_vjp(cotangents)
    return report


# --- the comparison ---------------------------------------------------------------------------------


def _check(
    f: _Function, report: Report, rng: np.random.Generator, atol: float, rtol: float, entries: int
) -> list[Floats]:
    """Compare every argument's cotangent with measured slopes; the cotangents of f's outputs."""
    y = f.values()
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(y, f.values(), strict=True)):
        raise GradientError(Finding(f.name, f.order, "nondeterministic"))
    v = [rng.standard_normal(a.shape) for a in y]
    gradients = f.gradient(v)
    for i, (x, g) in enumerate(zip(f.inputs, gradients, strict=True)):
        if g.shape != x.shape:
            numeric = _numeric_gradient(f, i, v) if x.size <= entries else None
            raise GradientError(diagnose(f, i, g, numeric, v, ()))

        def verdict(block: np.ndarray[Any, Any], i: int = i, g: Floats = g) -> str:
            report.checks += 1
            weights = rng.choice([-1.0, 1.0], block.size) * rng.uniform(0.5, 1.5, block.size)
            direction = weights if block.size > 1 else np.ones(1)
            return _verdict(f, i, block, direction, g.reshape(-1)[block], v, atol, rtol)

        groups = np.array_split(np.arange(x.size), min(entries, x.size)) if x.size else []
        for group in groups:
            outcome = verdict(group)
            if outcome == "kink":
                report.kinks.append(f"{f.names[i]}{_index(group[0], x.shape)} (order {f.order})")
            elif outcome != "right":
                culprit = group
                while culprit.size > 1:  # search the group for an entry that is wrong by itself
                    halves = np.array_split(culprit, 2)
                    culprit = halves[0] if verdict(halves[0]) in ("wrong", "coarse") else halves[1]
                index = np.unravel_index(int(culprit[0]), x.shape)
                if outcome == "coarse":
                    raise GradientError(Finding(f.name, f.order, "float32", f.names[i], index))
                numeric = _numeric_gradient(f, i, v) if x.size <= entries else None
                raise GradientError(diagnose(f, i, g, numeric, v, index))
    return v


def _index(flat: Any, shape: tuple[int, ...]) -> str:
    return str([int(n) for n in np.unravel_index(int(flat), shape)]) if shape else ""


def _verdict(
    f: _Function, i: int, block: Any, direction: Floats, g: Floats, v: list[Floats],
    atol: float, rtol: float,
) -> str:  # fmt: skip
    """ "right", "wrong", "kink", or "coarse" for the slope of f along a direction in x's entries."""
    expected = float(g @ direction)
    size = float(np.sqrt(np.square(g * direction).sum()))
    slopes = []
    for level in range(LEVELS):
        slope = _slope(f, i, block, direction, v, FIRST_STEP / SHORTER**level)
        slopes.append(slope)
        unsure = slope.unsure
        if not np.isfinite(expected):
            continue
        near = abs(expected - slope.value) <= atol + rtol * max(size, abs(slope.value)) + unsure
        if near and unsure <= 1e-7 * slope.scale:
            return "right"
    if not np.isfinite(expected):
        return "wrong"
    finite = [s for s in slopes if np.isfinite(s.value + s.error + s.noise)]
    if not finite:
        return "coarse"
    best = min(finite, key=lambda s: s.error + s.noise)
    unsure = best.unsure
    if abs(expected - best.value) <= atol + rtol * max(size, abs(best.value)) + unsure:
        return "right" if unsure <= TOO_COARSE * best.scale else _kink(finite, expected) or "coarse"
    if kink := _kink(finite, expected):
        return kink
    # where f is smooth, short steps measure what long ones do; where it is rounded, they can't
    rough = any(abs(s.value - best.value) > 64 * s.unsure for s in finite)
    return "coarse" if rough else "wrong"


def _kink(slopes: list[_Slope], expected: float) -> str:
    """ "kink" if the slopes on either side stay apart as the step shrinks, with g between them.

    Where they not only stay apart but grow like 1/h, f jumps: then it is the derivative of a
    function with a kink, and has none of its own.
    """
    if len(slopes) < 3:
        return ""
    a, b, c = slopes[-3:]  # the shortest steps
    sizes = [abs(s.left) + abs(s.right) for s in (a, b, c)]
    if sizes[2] > 4 * sizes[1] > 16 * sizes[0] and sizes[2] > 64 * c.noise:
        return "kink"
    gaps = [abs(s.right - s.left) for s in (a, b, c)]
    if gaps[2] < 64 * c.noise + 1e-9 * c.scale or min(gaps) < 0.5 * max(gaps):
        return ""  # the sides meet: smooth
    low, high = min(c.left, c.right), max(c.left, c.right)
    slack = 1e-5 * (high - low) + c.noise
    return "kink" if low - slack <= expected <= high + slack else ""


# --- the measurement ----------------------------------------------------------------------------------


class _Slope(NamedTuple):
    value: float  # extrapolated to step 0
    error: float  # what the extrapolation may be off by
    noise: float  # what the rounding of f's values amounts to
    left: float  # the slope of the step back
    right: float  # the slope of the step forward
    scale: float  # a typical slope of the outputs that change: their size over x's
    overall: float  # the same of all outputs
    central: tuple[float, float, float]  # at the steps h, h/2, h/4
    steps: tuple[float, float, float]

    @property
    def unsure(self) -> float:
        """How far a right gradient may be from the value, for all that the measurement can tell."""
        return 4 * (self.error + self.noise) + 1000 * EPS * self.overall


def _slope(
    f: _Function, i: int, block: Any, direction: Floats, v: list[Floats], relative_step: float
) -> _Slope:
    """The slope of t ↦ ⟨v, f(x + t · direction)⟩ at 0.

    Outputs that do not change are left out of the sums, so that their rounding can't drown those
    that do. 4/3 c(h/2) − 1/3 c(h) cancels the error of order h², once more that of order h⁴.
    """
    reach = max(float(np.abs(f.inputs[i].reshape(-1)[block]).max()), _typical(f.inputs[i]))
    here = f.here()
    central, right, left, noise = [], 0.0, 0.0, 0.0
    steps = tuple(reach * relative_step / 2**k for k in range(3))
    for h in steps:
        ahead, width_a = _moved(f, i, block, h * direction)
        behind, width_b = _moved(f, i, block, -h * direction)
        h_a, h_b = width_a / direction[0], -width_b / direction[0]  # as rounded in floating point
        change = rise = fall = 0.0
        size = everything = rounding = 0.0
        for w, a, b, c, floor in zip(v, ahead, behind, here, f.floors, strict=True):
            moved = (a != b) | (a != c)
            change += float(np.sum(w * (a - b), where=moved))
            rise += float(np.sum(w * (a - c), where=moved))
            fall += float(np.sum(w * (c - b), where=moved))
            rounding += EPS * float(
                np.sum(np.abs(w) * (np.abs(a) + np.abs(b) + 2 * floor), where=moved)
            )
            sizes = np.abs(w) * np.maximum(np.abs(c), floor)
            size, everything = size + float(np.sum(sizes, where=moved)), everything + sizes.sum()
        central.append(change / (h_a + h_b))
        right, left, noise = rise / h_a, fall / h_b, 2 * rounding / (h_a + h_b)
    once = [(4 * central[k + 1] - central[k]) / 3 for k in range(2)]
    value = (16 * once[1] - once[0]) / 15
    per_reach = float(np.abs(direction).max()) / reach
    overall = float(everything) * per_reach or 1.0
    scale = max(size * per_reach, abs(value)) or overall
    return _Slope(value, abs(value - once[1]), noise, left, right, scale, overall,
                  (central[0], central[1], central[2]), steps)  # type: ignore[arg-type]  # fmt: skip


def _typical(x: Floats) -> float:
    """The size of a typical entry; 1 where all are zero."""
    return (float(np.sqrt(np.square(x).mean())) if x.size else 0.0) or 1.0


def _moved(f: _Function, i: int, block: Any, step: Floats) -> tuple[list[Floats], float]:
    """f's values with some entries of input i moved, and by how much the first was, as rounded."""
    x = f.inputs[i].copy()
    flat = x.reshape(-1)
    before = flat[block]
    flat[block] = before + step
    with np.errstate(all="ignore"):  # a step may leave f's domain: then a shorter one is tried
        return f.values_at(i, x), float(flat[block][0] - before[0])


def _numeric_gradient(f: _Function, i: int, v: list[Floats]) -> Floats:
    """All slopes with respect to input i, by the level that suits most; for the diagnosis."""
    slopes = np.zeros(f.inputs[i].size)
    for n in range(slopes.size):
        tried = [_slope(f, i, np.array([n]), np.ones(1), v, FIRST_STEP / SHORTER**k)
                 for k in (0, 1, 3)]  # fmt: skip
        slopes[n] = min(tried, key=lambda s: s.error + s.noise).value
    return slopes.reshape(f.inputs[i].shape)


# --- what is measured ----------------------------------------------------------------------------------


class _Function:
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

    def its_vjp(self, v: list[Floats]) -> _Function:
        raise NotImplementedError

    def here(self) -> list[Floats]:
        if self._here is None:
            self._here = self.values()
        return self._here

    def slope(self, i: int, index: Any, v: list[Floats]) -> _Slope:
        """The slope along one entry, for the error's message."""
        flat = np.ravel_multi_index(index, self.inputs[i].shape) if index else 0
        tried = [_slope(self, i, np.array([flat]), np.ones(1), v, FIRST_STEP / SHORTER**k)
                 for k in (0, 1, 3)]  # fmt: skip
        return min(tried, key=lambda s: s.error + s.noise)

    def numeric_gradient(self, i: int, v: list[Floats]) -> Floats:
        return _numeric_gradient(self, i, v)


class _TensorFunction(_Function):
    """A function of Tensors. Its inputs are live: moving one is setting its data."""

    def __init__(
        self, name: str, order: int, names: list[str], live: list[Tensor],
        call: Callable[[], list[Tensor]],
    ) -> None:  # fmt: skip
        self.name, self.order, self.names, self.live, self.call = name, order, names, live, call
        self.inputs = [x.numpy() for x in live]
        self.floors = [0.0] * len(self.here())

    @classmethod
    def of(
        cls, name: str, f: Callable[..., Any], names: list[str], inputs: Sequence[Any],
        parameters: dict[str, Tensor],
    ) -> _TensorFunction:  # fmt: skip
        given = [_as_live(x) for x in inputs]
        live = {n: x for n, x in zip(names, given, strict=True) if _is_live(x)} | parameters
        if not live:
            raise ValueError(f"gradcheck: no input of {name} is floating-point, nor any `params`")

        def call() -> list[Tensor]:
            y = f(*given)
            outputs = list(y) if isinstance(y, (tuple, list)) else [y]
            for each in outputs:
                if not isinstance(each, Tensor):
                    raise TypeError(f"gradcheck: {name} returned {type(each).__name__}, not a "
                                    f"Tensor; for a plain NumPy function pass its vjp too")  # fmt: skip
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

    def its_vjp(self, v: list[Floats]) -> _TensorFunction:
        several = len(v) > 1
        cotangents = [Tensor(w, requires_grad=True) for w in v]
        names = [f"cotangent {i}" if several else "cotangent" for i in range(len(v))]

        def call() -> list[Tensor]:
            total = _weighted(self.call(), cotangents)
            return grad(total, self.live, create_graph=True, allow_unreachable=True)

        vjp = _TensorFunction(
            self.name, self.order + 1, self.names + names, self.live + cotangents, call
        )
        size = sum(
            float(np.sum(np.abs(w) * np.maximum(np.abs(y), floor)))
            for w, y, floor in zip(v, self.here(), self.floors, strict=True)
        )
        vjp.floors = [size / _typical(x) for x in self.inputs]
        for name, x, g, h in zip(
            self.names, self.inputs, self.gradient(v), vjp.values(), strict=False
        ):
            if not np.allclose(g, h, rtol=1e-6, atol=1e-9 * size / _typical(x)):
                raise GradientError(Finding(self.name, self.order, "recording", name, shape=x.shape))
        return vjp


class _NumpyFunction(_Function):
    """A function of plain arrays, with a hand-written backward."""

    def __init__(
        self, name: str, f: Callable[..., Any], vjp: Callable[..., Any], names: list[str],
        inputs: Sequence[Any],
    ) -> None:  # fmt: skip
        self.name, self.order, self.f, self.vjp = name, 1, f, vjp
        self.given = [
            np.array(x, np.float64) if _is_float(x) else x
            for x in (x.numpy() if isinstance(x, Tensor) else x for x in inputs)
        ]
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
            raise TypeError(f"gradcheck: vjp returned {len(found)} arrays for "
                            f"{len(self.given)} inputs")  # fmt: skip
        return [np.asarray(g, np.float64) for g in found]

    def its_vjp(self, v: list[Floats]) -> _Function:
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


class _in_float64:
    """The parameters by name, in float64 and requiring gradients; as they were, afterwards."""

    def __init__(self, params: Mapping[str, Tensor] | Sequence[Tensor] | None) -> None:
        if isinstance(params, Mapping):
            self.params = dict(params)
        else:
            self.params = {p.name or f"params[{k}]": p for k, p in enumerate(params or ())}
            if len(self.params) < len(params or ()):
                self.params = {f"params[{k}]": p for k, p in enumerate(params or ())}

    def __enter__(self) -> dict[str, Tensor]:
        self.kept = [(p, p.data, p.requires_grad) for p in self.params.values()]
        for p in self.params.values():
            p.data, p.requires_grad = p.data.astype(np.float64), True
        return self.params

    def __exit__(self, *_: object) -> None:
        for p, data, requires_grad in self.kept:
            p.data, p.requires_grad = data, requires_grad


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of f's arguments where Python knows them."""

    def names() -> Iterator[str]:
        for p in inspect.signature(f).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                return
            yield p.name

    try:
        known = list(names())[:count]
    except (TypeError, ValueError):
        known = []
    return known + [f"argument {k}" for k in range(len(known), count)]
