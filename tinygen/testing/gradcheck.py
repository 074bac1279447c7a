r"""A checker of gradients: it differentiates numerically, compares, and says what is wrong.

Let f take arrays x to arrays y. Draw a random cotangent v, and compare x̄ = Jᵀ v, as computed, with
the slope of ⟨v, f(x)⟩ along each entry of x, as measured. v is random because with v = 1 a softmax
whose gradient is always 0 would pass: its sum is constant. Past `entries` of them, entries are
moved in groups, and a group that fails is searched for the entry. The vjp is a function too,
(x, v) ↦ x̄, so order 2 is the same check of the vjp.

Reading order: `gradcheck`; `_check`, the comparison, and `_verdict` on one slope. slopes.py
measures a slope; diagnosis.py works out what an error says.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygen._types import Array, Rng, Shape
from tinygen.autograd import Tensor
from tinygen.testing import slopes
from tinygen.testing.diagnosis import Finding, GradientError, diagnose
from tinygen.testing.slopes import Arrays, Function, NumpyFunction, Slope, TensorFunction

__all__ = ["Report", "gradcheck"]

Params: TypeAlias = Mapping[str, Tensor] | Sequence[Tensor] | None
Pair: TypeAlias = tuple[float, float]

SEED = 7919  # one that hardly anybody draws their inputs with
TOO_COARSE = 1e-5  # a slope known no better than this, relative to f's scale, can't tell


class Report:
    """What was checked. True, so that `assert gradcheck(f, x)` reads well."""

    def __init__(self, function: str, order: int) -> None:
        self.function, self.order = function, order
        self.checks = 0  # how many slopes were compared
        self.kinks: list[str] = []  # entries at which f has a kink

    def __str__(self) -> str:
        text = f"{self.function}: right to order {self.order}, {self.checks} slopes compared"
        if self.kinks:
            text += f"; at {len(self.kinks)} of them f has a kink, where any value between the "
            text += f"slopes on either side is accepted: {', '.join(self.kinks[:5])}"
        return text


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 2,
    rng: Rng | None = None,
    atol: float = 0.0,
    rtol: float = 1e-7,
    params: Params = None,
    vjp: Callable[..., Any] | None = None,
    entries: int = 512,
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
    if order < 1 or entries < 1:
        raise ValueError(f"gradcheck: expected order and entries ≥ 1, got {order} and {entries}")
    rng, tolerance = np.random.default_rng(SEED) if rng is None else rng, (atol, rtol)
    name = getattr(f, "__name__", type(f).__name__)
    named = dict(zip(_argument_names(f, len(inputs)), inputs, strict=True))
    if vjp is not None:
        if params is not None:
            raise TypeError("gradcheck: `params` are Tensors, but with `vjp` f is plain NumPy")
        report = Report(name, 1)
        _check(NumpyFunction(name, f, vjp, named), report, rng, tolerance, entries)
        return report

    report = Report(name, order)
    with _in_float64(params) as parameters:
        function = TensorFunction.of(name, f, named, parameters)
        for _ in range(order):
            cotangents = _check(function, report, rng, tolerance, entries)
            function = function.its_vjp(cotangents)
    return report


def _check(f: Function, report: Report, rng: Rng, tolerance: Pair, entries: int) -> Arrays:
    """Compare every argument's cotangent with measured slopes; the cotangents of f's outputs."""
    if not all(np.isfinite(a).all() for a in [*f.inputs, *f.here]):
        raise GradientError(Finding(f.name, f.order, "undefined"))
    if not all(np.array_equal(a, b) for a, b in zip(f.here, f.values(), strict=True)):
        raise GradientError(Finding(f.name, f.order, "nondeterministic"))
    v = [_signed(rng, a.shape) for a in f.here]
    for i, (x, g) in enumerate(zip(f.inputs, f.gradient(v), strict=True)):

        def wrong_at(index: Shape, i: int = i, x: Array = x, g: Array = g) -> GradientError:
            numeric = f.numeric_gradient(i, v) if x.size <= entries else None
            return GradientError(diagnose(f, i, g, numeric, v, index))

        def suspects(block: Array, i: int = i, x: Array = x, g: Array = g) -> Iterator[Any]:
            """(entry, verdict) for those of the block that are not plainly right."""
            report.checks += 1
            direction = _signed(rng, block.shape) if block.size > 1 else np.ones(1)
            verdict = _verdict(f, i, block, direction, g.reshape(-1)[block], v, tolerance)
            if verdict != "right" and block.size > 1:
                for half in np.array_split(block, 2):
                    yield from suspects(half)
            elif verdict != "right":
                yield tuple(map(int, np.unravel_index(int(block[0]), x.shape))), verdict

        if g.shape != x.shape:
            raise wrong_at(())
        for group in np.array_split(np.arange(x.size), min(entries, x.size)) if x.size else ():
            for index, verdict in suspects(group):
                if verdict == "wrong":
                    raise wrong_at(index)
                if verdict == "coarse":
                    raise GradientError(Finding(f.name, f.order, "coarse", f.names[i], index))
                place = f"{f.names[i]}{list(index)}" if index else f.names[i]
                report.kinks.append(f"{place} (order {f.order})")
    return v


def _signed(rng: Rng, shape: Shape) -> Array:
    """Random numbers of either sign, none so small that what it multiplies would be lost."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))


def _verdict(
    f: Function, i: int, block: Array, direction: Array, g: Array, v: Arrays, tolerance: Pair
) -> str:
    """Whether the slope along a direction is "right", "wrong", at a "kink", or too "coarse"."""
    expected = float(g @ direction)
    if not np.isfinite(expected):
        return "wrong"
    size = float(np.sqrt(np.square(g * direction).sum()))
    tried: list[Slope] = []
    bend = np.inf  # the least that was measured: rounding adds to it, at short steps enormously

    def near(slope: Slope, precision: float) -> bool:
        # x is rounded too, and a slope is known no better than what it changes by for that
        unsure, scale = slope.unsure + 64 * slopes.EPS * bend, max(slope.scale, bend)
        slack = tolerance[0] + tolerance[1] * max(size, abs(slope.value)) + unsure
        return abs(expected - slope.value) <= slack and unsure <= precision * scale

    for step in slopes.step_lengths(f.inputs[i], block):
        slope = slopes.measure(f, i, block, direction, v, step)
        if np.isfinite([slope.value, slope.low, slope.high]).all():
            tried.append(slope)
            bend = min(bend, slope.bend)
            if near(slope, 1e-7):
                return "right"
    if not tried:
        return "coarse"
    best = min(tried, key=lambda s: s.unsure)
    if near(best, TOO_COARSE):
        return "right"
    if _is_kink(sorted(tried, key=lambda s: -s.step), expected, f.order):
        return "kink"
    # where f is smooth, short steps measure what long ones do; where it is rounded, they can't
    rough = any(abs(s.value - best.value) > 64 * s.unsure for s in tried)
    return "coarse" if rough or near(best, np.inf) else "wrong"


def _is_kink(tried: list[Slope], expected: float, order: int) -> bool:
    """Whether the slopes on either side stay apart as the step shrinks, with g between them.

    Where f jumps instead, they grow like 1/h. A gradient does that at a kink of its function, and
    has no derivative there to be wrong; a function itself must not.
    """
    if len(tried) < 3:
        return False
    *_, a, b, c = tried  # the shortest steps
    sizes = [abs(s.low) + abs(s.high) for s in (a, b, c)]
    if sizes[2] > 4 * sizes[1] > 16 * sizes[0] and sizes[2] > 64 * c.noise:
        return order > 1
    gaps = [s.high - s.low for s in (a, b, c)]
    if gaps[2] < 64 * c.noise + 1e-9 * c.scale or min(gaps) < 0.5 * max(gaps):
        return False  # the sides meet: smooth
    slack = 1e-5 * gaps[2] + c.noise
    return c.low - slack <= expected <= c.high + slack


@contextlib.contextmanager
def _in_float64(params: Params) -> Iterator[dict[str, Tensor]]:
    """The parameters by name, in float64 and requiring gradients; as they were, afterwards."""
    if not isinstance(params, Mapping):
        tensors = [params] if isinstance(params, Tensor) else list(params or ())
        unnamed = {f"params[{k}]": p for k, p in enumerate(tensors)}
        named = {p.name or name: p for name, p in unnamed.items()}
        params = named if len(named) == len(unnamed) else unnamed
    before = [(p, p.data, p.requires_grad) for p in params.values()]
    try:
        for p in params.values():
            p.data, p.requires_grad = p.data.astype(np.float64), True
        yield dict(params)
    finally:
        for p, data, requires_grad in before:
            p.data, p.requires_grad = data, requires_grad


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of f's arguments where Python knows them."""
    code = getattr(f, "__code__", None)
    known = list(code.co_varnames[: code.co_argcount]) if code else []
    known = known[hasattr(f, "__self__") :][:count]
    return known + [f"argument {k}" for k in range(len(known), count)]
