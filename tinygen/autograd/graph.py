"""Differentiation: a graph of tensors, and the walk backwards through it.

A tensor `z` remembers which tensors it was computed from, and beside each input a function
`vjp(g, z)` that takes the cotangent `g` of `z` to that input's contribution. The cotangent of a
tensor is the derivative of the final result with respect to it.

A tensor that is used twice receives two contributions, which add up, because a small change of it
reaches the result by both paths. So it can pass its own cotangent on only when everything computed
from it has been visited: the walk must take tensors in an order in which each comes before its
inputs.

Reading order: `grad`, `walk_back`, `ancestors`; the graphs that `grad` refuses; `no_grad`.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tinygen import autograd
from tinygen._types import Array
from tinygen.autograd.backend import xp

__all__ = ["grad", "is_recording", "no_grad"]

if TYPE_CHECKING:
    from tinygen.autograd.tensor import Tensor

recording = contextvars.ContextVar("recording", default=True)
F = TypeVar("F", bound=Callable[..., Any])


@overload
def grad(
    y: Tensor,
    xs: Tensor,
    create_graph: bool = ...,
    *,
    cotangent: Tensor | None = ...,
    allow_unreachable: bool = ...,
) -> Tensor: ...
@overload
def grad(
    y: Tensor,
    xs: Sequence[Tensor],
    create_graph: bool = ...,
    *,
    cotangent: Tensor | None = ...,
    allow_unreachable: bool = ...,
) -> list[Tensor]: ...
def grad(
    y: Tensor,
    xs: Tensor | Sequence[Tensor],
    create_graph: bool = False,
    *,
    cotangent: Tensor | None = None,
    allow_unreachable: bool = False,
) -> Tensor | list[Tensor]:
    """The gradient of the scalar `y` with respect to a tensor, or to each of several.

    With `create_graph` the gradient is itself recorded, and can be differentiated again. A `y` of
    any shape needs the `cotangent`, of that shape, that multiplies its Jacobian from the left.
    An `x` that `y` does not depend on is an error, or has zero gradient if `allow_unreachable`.
    """
    targets = [xs] if isinstance(xs, autograd.Tensor) else list(xs)
    for each, argument in [(y, "y"), (cotangent, "cotangent"), *((x, "xs") for x in targets)]:
        if not isinstance(each, autograd.Tensor) and (each is not None or argument != "cotangent"):
            raise TypeError(
                f"grad: expected `{argument}` to be a Tensor, got {type(each).__name__}"
            )
    if cotangent is None:
        if y.size != 1:
            raise ValueError(
                f"grad: `y` has shape {y.shape}, but only a scalar has a gradient; "
                f"reduce it, as in y.sum(), or pass `cotangent`"
            )
        cotangent = autograd.tensor.constant(xp.ones(y.shape, y.dtype))
    elif cotangent.shape != y.shape or cotangent.dtype != y.dtype:
        raise ValueError(
            f"grad: `cotangent` must be like `y`, {y.dtype} of shape {y.shape}; it is "
            f"{cotangent.dtype} of shape {cotangent.shape}"
        )
    token = recording.set(create_graph)
    try:
        found = walk_back(y, {id(x) for x in targets}, cotangent)
    finally:
        recording.reset(token)

    gradients = []
    given_out = {id(cotangent._data)}
    for i, x in enumerate(targets):
        g = found.get(id(x))
        if g is None and not allow_unreachable:
            raise ValueError(why_unreachable(y, x, "`xs`" if x is xs else f"`xs[{i}]`"))
        if not create_graph or g is None:
            data = xp.zeros(x.shape, x.dtype) if g is None else _own(g._data, given_out)
            g = autograd.tensor.constant(data)
            g._cut = not create_graph
        gradients.append(g)
    return gradients[0] if isinstance(xs, autograd.Tensor) else gradients


def _own(array: Array, given_out: set[int]) -> Array:
    """The array, or a copy where writing into it would change another that is given out too."""
    base = array if getattr(array, "base", None) is None else array.base
    repeats = any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))
    if repeats or id(base) in given_out:
        return array.copy()
    given_out.add(id(base))
    return array


def ancestors(y: Tensor) -> list[Tensor]:
    """All nodes that `y` was computed from and that require gradients, inputs before outputs.

    With a stack of its own instead of recursion: a graph may be deeper than Python's stack.
    """
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(y, False)] if y.requires_grad else []
    while stack:
        node, inputs_are_done = stack.pop()
        if inputs_are_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(x, False) for x, _, _ in node._inputs if x.requires_grad]
    return order


def walk_back(y: Tensor, targets: set[int], cotangent: Tensor) -> dict[int, Tensor]:
    """The cotangents of the targets by id. No vjp off the paths from them to `y` is called."""
    path = []  # the nodes between the targets and y, inputs first, with the edges to follow back
    needed: set[int] = set()
    for node in ancestors(y):
        edges = [edge for edge in node._inputs if id(edge[0]) in needed]
        if edges or id(node) in targets:
            needed.add(id(node))
            path.append((node, edges))

    cotangents = {id(y): cotangent}
    found: dict[int, Tensor] = {}
    ours: set[int] = set()  # cotangents that nothing else refers to: safe to add to in place
    in_place = not recording.get()
    while path:
        node, edges = path.pop()
        g = cotangents.pop(id(node))
        if id(node) in targets:
            found[id(node)] = g
        if edges:
            _check_inputs(node)
        for x, vjp, _ in edges:
            gx = _fit(vjp(g, node), x)
            if id(x) not in cotangents:
                cotangents[id(x)] = gx
            elif in_place and id(x) in ours:
                cotangents[id(x)]._data += gx._data
            else:
                cotangents[id(x)] = cotangents[id(x)] + gx
                ours.add(id(x))
    return found


def _fit(g: Tensor, x: Tensor) -> Tensor:
    """A cotangent in the shape and dtype of `x`: broadcasting is undone by summing."""
    if not isinstance(g, autograd.Tensor):
        raise TypeError(
            f"a vjp must return a Tensor, but one returned {type(g).__name__}; "
            f"write it in Tensor operations, to differentiate it too"
        )
    have, want = g._data.shape, x._data.shape
    if have != want:
        extra = len(have) - len(want)
        if extra < 0 or any(n not in (1, m) for n, m in zip(want, have[extra:], strict=True)):
            raise ValueError(f"a vjp returned shape {have} for {x._called()}")
        repeated = [k for k, m in enumerate(have) if k < extra or want[k - extra] != m]
        g = g.sum(tuple(repeated)).reshape(want)
    return g if g._data.dtype == x._data.dtype else g.astype(x.dtype)


# --- what `grad` refuses --------------------------------------------------------------------------


def _check_inputs(node: Tensor) -> None:
    """Refuse to differentiate what would silently come out wrong."""
    for x, _, version in node._inputs:
        _check_unchanged(x, version)
        if x._cut and not x.requires_grad:
            raise RuntimeError(
                f"grad: `y` depends on a gradient, or on {x._called()} computed "
                f"from one, whose own graph was not kept; pass create_graph=True to "
                f"that grad(), or .detach() it if it is a constant"
            )


def _check_unchanged(x: Tensor, version: int) -> None:
    """Neither it nor, if it is a view, as a transpose is, what it is a view of."""
    if x._version != version:
        raise RuntimeError(
            f"grad: {x._called()} was changed after it was used in this graph; "
            f"take the gradient first, then update"
        )
    for y, _, version_then in x._inputs:
        if _shares_memory(x, y):
            _check_unchanged(y, version_then)


def _shares_memory(x: Tensor, y: Tensor) -> bool:
    is_view = getattr(x._data, "base", x) is not None
    return is_view and bool(xp.may_share_memory(x._data, y._data))


def why_unreachable(y: Tensor, x: Tensor, where: str) -> str:
    x_is = f"{where} ({x.name or 'unnamed'}, shape {x.shape})"
    if not x.requires_grad:
        return f"grad: {x_is} does not require gradients; make it Tensor(data, requires_grad=True)"
    if y._cut:
        return (
            f"grad: `y` was computed from a gradient whose own graph was not kept, so {x_is} "
            f"can't be reached; pass create_graph=True to the first grad()"
        )
    if not y.requires_grad:
        return (
            f"grad: `y` is a constant: it was computed under no_grad(), or from nothing that "
            f"requires gradients, so {x_is} can't be reached"
        )
    return f"grad: `y` does not depend on {x_is}"


# --- recording nothing ----------------------------------------------------------------------------


class no_grad:
    """Record nothing: `with no_grad():` or `@no_grad()`. For sampling, evaluation, updates.

    A generator hands control back in the middle, so it can't be decorated: enter it around each
    step instead, never across a `yield`.
    """

    def __enter__(self) -> None:
        self._token = recording.set(False)

    def __exit__(self, *_: object) -> None:
        recording.reset(self._token)

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            raise TypeError(
                f"no_grad: {function.__name__} is a generator; use `with no_grad():` "
                f"in it, around what lies between two yields"
            )

        @functools.wraps(function)
        def silent(*args: Any, **options: Any) -> Any:
            with no_grad():
                return function(*args, **options)

        return cast(F, silent)


def is_recording() -> bool:
    """Whether operations are being recorded: not under `no_grad`, nor in most vjps."""
    return recording.get()
