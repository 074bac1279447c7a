r"""A checker of gradients: it differentiates numerically, compares, and says what is wrong.

Let f take arrays x to arrays y. Draw a random cotangent v, and compare x̄ = Jᵀ v, as computed, with
the derivative of ⟨v, f(x)⟩ along each element of x, as measured. v is random because with v = 1 a
softmax whose gradient is always 0 would pass: its sum is constant. Inputs of more than `elements`
are checked in groups; a failing group is split to find the wrong element. The vjp is a function
too, (x, v) ↦ x̄, so order 2 is the same check of the vjp.

Reading order: `gradcheck`; `_check`, the comparison; `_verdict` on one derivative. differences.py
measures it; diagnosis.py works out what an error says.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from tinygen._types import Array, Rng, Shape
from tinygen.autograd import Tensor
from tinygen.testing.diagnosis import Finding, GradientError, diagnose
from tinygen.testing.differences import (
    EPS,
    Arrays,
    Difference,
    Function,
    NumpyFunction,
    TensorFunction,
    joined,
    sharpest,
    typical,
)

__all__ = ["Report", "gradcheck"]

Params: TypeAlias = Mapping[str, Tensor] | Sequence[Tensor] | None
Pair: TypeAlias = tuple[float, float]

SEED = 7919  # unlikely to be that of the inputs
PRECISION = 2e-5  # relative to a derivative: a measurement this precise decides
TOO_COARSE = 1e-5  # relative to the size of f over that of x


class Report:
    """What was checked; true if nothing is wrong, so that `assert gradcheck(f, x)` reads well.

    `unmeasured` are elements whose gradient agrees with the measured one, but whose digits f's
    rounding hides. To forbid that, assert `not report.unmeasured`.
    """

    def __init__(self, function: str, order: int) -> None:
        self.function, self.order = function, order
        self.checks = 0  # how many derivatives were compared
        self.kinks: list[str] = []  # elements at which f has a kink
        self.unmeasured: list[str] = []
        self.findings: list[Finding] = []  # of `every=True`: what is wrong, by argument

    def __bool__(self) -> bool:
        return not self.findings

    def __repr__(self) -> str:
        if self.findings:
            return "\n".join(map(str, self.findings))
        text = f"{self.function}: right to order {self.order}, {self.checks} derivatives compared"
        if self.kinks:
            text += "; kinks, where any value between the derivatives on either side is accepted: "
            text += _some(self.kinks)
        if self.unmeasured:
            text += f"; {len(self.unmeasured)} too small to measure to four digits, such as "
            text += self.unmeasured[0]
        return text


def _some(places: list[str]) -> str:
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return ", ".join(places[:5]) + more


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 2,
    rng: Rng | None = None,
    atol: float = 0.0,
    rtol: float = 1e-7,
    params: Params = None,
    vjp: Callable[..., Any] | None = None,
    elements: int = 512,
    options: Mapping[str, Any] = {},
    name: str | None = None,
    every: bool = False,
) -> Report:
    """Check the gradient of `f` at `inputs`; raise a GradientError that says what is wrong with it.

    `f` takes Tensors and returns a Tensor, or several. Floating-point inputs are checked, all in
    float64; others are passed on as they are, and so are `options`, as keywords. `params` are
    Tensors that `f` uses besides its inputs, as a list or by name. `order=2` checks the
    gradient's own gradient too.

    With `vjp`, `f` is a function of plain NumPy arrays, and `vjp(g, *inputs, **options)` a
    hand-written backward: from the cotangent of the output to that of each input (an array for one
    input, a tuple for several). It is checked to first order.

    An element passes if it is within `atol + rtol · |derivative|` and the measurement's own
    uncertainty. With `every`, nothing is raised: the report has a finding for each wrong argument.
    """
    if order < 1 or elements < 1:
        raise ValueError(f"gradcheck: expected order and elements ≥ 1, got {order} and {elements}")
    name = name or str(getattr(f, "__name__", type(f).__name__))
    named = dict(zip(_argument_names(f, len(inputs)), inputs, strict=True))
    order = order if vjp is None else 1
    report, rng = Report(name, order), np.random.default_rng(SEED) if rng is None else rng
    with _in_float64(params) as parameters:
        try:
            if vjp is None:
                call: Function = TensorFunction.of(name, partial(f, **options), named, parameters)
            elif params is None:
                call = NumpyFunction(name, partial(f, **options), partial(vjp, **options), named)
            else:
                raise TypeError("gradcheck: `params` are Tensors, but with `vjp` f is plain NumPy")
            for k in range(order):
                v = _check(call, report, rng, (atol, rtol), elements, every)
                if report.findings or k + 1 == order:
                    break
                call = call.its_vjp(v)
        except GradientError as error:
            if not every:
                raise
            report.findings.append(error.finding)
    return report


def _check(
    f: Function, report: Report, rng: Rng, tolerance: Pair, elements: int, every: bool
) -> Arrays:
    """Compare every argument's cotangent with the measured one; return those of f's outputs."""
    if not all(np.isfinite(a).all() for a in [*f.inputs, *f.outputs]):
        raise GradientError(Finding(f.name, f.order, "undefined"))
    if not all(np.array_equal(a, b) for a, b in zip(f.outputs, f.values(), strict=True)):
        raise GradientError(Finding(f.name, f.order, "nondeterministic"))

    def compare(i: int, x: Array, g: Array | None, v: Arrays) -> None:
        def suspects(block: Array) -> Iterator[tuple[int, str, float]]:
            """(element, verdict, uncertainty) of those in the block that are not clearly right."""
            report.checks += 1
            along = _signed(rng, block.shape) if block.size > 1 else np.ones(1)
            verdict, unsure = _verdict(f, i, block, along, flat[block], v, tolerance)
            if verdict != "right" and block.size > 1:
                for half in np.array_split(block, 2):
                    yield from suspects(half)
            elif verdict != "right":
                yield int(block[0]), verdict, unsure

        def wrong_at(index: Shape) -> GradientError:
            numeric = f.numeric_gradient(i, v) if x.size <= elements and g is not None else None
            return GradientError(diagnose(f, i, g, numeric, v, index))

        if g is None or g.shape != x.shape:
            raise wrong_at(())
        flat = g.reshape(-1)
        for group in _groups(abs(flat), elements):
            for k, verdict, unsure in suspects(group):
                index = tuple(map(int, np.unravel_index(k, x.shape)))
                if verdict == "wrong":
                    raise wrong_at(index)
                if verdict in ("coarse", "jump", "outside"):
                    raise GradientError(Finding(f.name, f.order, verdict, f.names[i], index))
                place = f"{f.names[i]}{list(index) if index else ''} (order {f.order})"
                if verdict == "kink":
                    report.kinks.append(place)
                else:
                    report.unmeasured.append(f"{place} = {flat[k]:.3g} ± {unsure:.1g}")

    every_v = [_signed(rng, a.shape) for a in f.outputs]
    wrong = set[int]()  # arguments
    for part in _alike(f):
        v = [w if k in part else 0 * w for k, w in enumerate(every_v)]
        for i, (x, g) in enumerate(zip(f.inputs, f.gradient(v), strict=True)):
            try:
                if i not in wrong:
                    compare(i, x, g, v)
            except GradientError as error:
                if not every:
                    raise
                report.findings.append(error.finding)
                wrong.add(i)
    return every_v


def _alike(f: Function) -> list[list[int]]:
    """The outputs in groups of similar size, so that the rounding of one can't hide another."""
    ends = np.cumsum([a.size for a in f.outputs])[:-1]
    sizes = [typical(part) for part in np.split(f.sizes, ends)]
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    leaps = [k for k in range(1, len(order)) if sizes[order[k]] > 1000 * sizes[order[k - 1]]]
    return [order[a:b] for a, b in pairwise([0, *leaps, len(order)])]


def _groups(sizes: Array, count: int) -> list[Array]:
    """Each element by itself; or `count` groups of elements alike in size, and a few more."""
    if sizes.size <= count:
        return list(np.arange(sizes.size)[:, None])
    order = np.argsort(sizes, kind="stable")
    leaps = np.flatnonzero(sizes[order][1:] > 100 * sizes[order][:-1]) + 1
    return np.split(
        order, np.union1d(leaps, np.linspace(0, sizes.size, count + 1).astype(int)[1:-1])
    )


def _signed(rng: Rng, shape: Shape) -> Array:
    """Random numbers of either sign, none so small that what it multiplies would be lost."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))


def _verdict(
    f: Function, i: int, block: Array, along: Array, g: Array, v: Arrays, tolerance: Pair
) -> tuple[str, float]:
    """Whether the gradient `g` along a direction is right, and the measurement's uncertainty.

    "right"; "wrong"; at a "kink"; "unmeasured", if it agrees with a measurement too unsure to tell
    it from a wrong one. "coarse": f's values are too rough for any verdict; "jump": f has no
    derivative; "outside": f has no values around x.
    """
    expected = float(g @ along)
    if not np.isfinite(expected):
        return "wrong", 0.0
    slack = tolerance[0] + tolerance[1] * math.hypot(*(g * along))
    tried: list[Difference] = []
    largest = float(abs(f.inputs[i].reshape(-1)[block]).max())
    curve = np.inf  # the least measured: rounding adds to it, enormously at short steps
    active = np.zeros(f.sizes.shape, bool)
    for d in f.differences(i, block, along, v, active):
        tried.append(d)
        reach = max(abs(tried[0].low), abs(tried[0].high))  # the derivative a long step away
        curve = min(curve, d.curve)
        best = sharpest(tried)
        # the rounding of f's values, of x, and of the gradient
        rounding = 4 * best.noise + EPS * (64 * curve * largest + 1000 * best.scale)
        unsure = max(best.unsure, rounding)
        agrees = abs(expected - best.value) <= unsure + slack + tolerance[1] * abs(best.value)
        size = max(abs(best.value), 0 if expected else reach)
        constant = best.flat and tried[-2:][0].flat and not expected
        if constant or (agrees and unsure <= PRECISION * size and not best.bent):
            return "right", unsure
        if agrees and not best.bent and unsure <= 2 * rounding <= TOO_COARSE * best.scale:
            return "unmeasured", unsure  # a shorter step is not more exact
    if not tried:
        return "outside", np.inf
    bend = _bend(tried, best, expected) if len(tried) > 2 else ""
    if bend:  # a gradient jumps at a kink of its function
        return "jump" if bend == "jump" and f.order == 1 else "kink", unsure
    if abs(expected - best.value) > max(unsure + slack, 16 * rounding):
        # or is it what outputs contribute that are too large to show their change?
        hidden = 32 * EPS * float((abs(joined(v)) * f.sizes).sum(where=~active)) / tried[0].step
        if abs(expected - best.value) > hidden:
            return "wrong", unsure
        visible = np.split(joined(v) * active, np.cumsum([w.size for w in v])[:-1])
        parts = [part.reshape(w.shape) for part, w in zip(visible, v, strict=True)]
        seen = float(np.ravel(np.asarray(f.gradient(parts)[i]))[block] @ along)
        return "unmeasured" if abs(seen - best.value) <= unsure + slack else "wrong", hidden
    gap = abs(d.value - best.value)  # at the shortest step
    rough = d.flat or gap * d.step > 1e-8 * max(best.scale, reach) * tried[0].step
    if rough and gap > d.unsure + best.unsure:
        return "coarse", unsure
    return "jump" if best.bent else "unmeasured", unsure


def _bend(tried: list[Difference], best: Difference, expected: float) -> str:
    """Whether f has a "kink": the two sides stay apart as the step shrinks, with g between them.

    In a "jump" they grow like 1/h. If even the best is unsure, either may be a little way off.
    """
    at = [d.step for d in tried].index(best.step)
    sure = best.unsure <= PRECISION * abs(best.value)
    for k in [min(at, len(tried) - 3)] if sure else range(len(tried) - 2):
        a, b, c = tried[max(k, 0) : k + 3]
        jumps = [(abs(d.low) + abs(d.high)) * d.step for d in (a, b, c)]
        if min(jumps) > max(0.9 * max(jumps), 1e-9 * c.scale * tried[0].step):
            return "jump"
        gaps, slack = [d.high - d.low for d in (a, b, c)], 1e-5 * (c.high - c.low) + c.noise
        apart = min(gaps) > max(0.5 * max(gaps), 64 * c.noise + 1e-9 * c.scale)
        if apart and c.low - slack <= expected <= c.high + slack:
            return "kink"
    return ""


@contextlib.contextmanager
def _in_float64(params: Params) -> Iterator[dict[str, Tensor]]:
    """The parameters by name, in float64 and requiring gradients; as they were, afterwards."""
    if not isinstance(params, Mapping):
        tensors = [params] if isinstance(params, Tensor) else list(params or ())
        if not all(isinstance(p, Tensor) for p in tensors):
            raise TypeError("gradcheck: `params` must be Tensors")
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
