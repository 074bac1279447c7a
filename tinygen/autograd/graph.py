"""Reverse-mode differentiation: a graph of tensors, and the backward pass through it.

A tensor that is used twice receives two cotangents, which add up. So the backward pass visits a
tensor only after everything computed from it.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from tinygen import autograd
from tinygen.autograd.backend import xp

__all__ = ["grad", "is_recording", "no_grad"]

if TYPE_CHECKING:
    from tinygen.autograd.tensor import Tensor

recording = contextvars.ContextVar("recording", default=True)
Tensors = TypeVar("Tensors", "Tensor", "list[Tensor]", "Sequence[Tensor]")  # one, or several


def grad(
    y: Tensor,
    xs: Tensors,
    create_graph: bool = False,
    *,
    cotangent: Tensor | None = None,
    allow_unreachable: bool = False,
) -> Tensors:
    """The gradient of the scalar `y` with respect to a tensor, or to each of several.

    With `create_graph` it can be differentiated again. If `y` is not a scalar, pass the `cotangent`
    that multiplies its Jacobian from the left. With `allow_unreachable`, the gradient is 0 for an
    `x` that `y` does not depend on; otherwise this is an error.
    """
    targets: list[Tensor] = [xs] if isinstance(xs, autograd.Tensor) else list(xs)
    for t in (y, *targets):
        if not isinstance(t, autograd.Tensor):
            raise TypeError(f"grad: expected Tensors, got {type(t).__name__}")
    if cotangent is None:
        if y.size != 1:
            raise ValueError(f"grad: `y` has shape {y.shape}; reduce it, or pass `cotangent`")
        cotangent = autograd.as_tensor(xp.ones(y.shape, y.dtype))
    elif (cotangent.shape, cotangent.dtype) != (y.shape, y.dtype):
        ours, theirs = (f"{t.dtype} {t.shape}" for t in (y, cotangent))
        raise ValueError(f"grad: expected `cotangent` to be {ours} like `y`, got {theirs}")
    token = recording.set(create_graph)
    try:
        cotangents = walk_back(y, {id(x) for x in targets}, cotangent)
    finally:
        recording.reset(token)

    gradients, ids = [], {id(cotangent._data)}  # of arrays that are already in use
    for i, x in enumerate(targets):
        g = cotangents.get(id(x))
        if g is None and not allow_unreachable:
            raise ValueError(_why_unreachable(y, x, "`xs`" if x is xs else f"`xs[{i}]`"))
        if g is None or not create_graph:
            data = xp.zeros(x.shape, x.dtype) if g is None else g._data
            if getattr(data, "base", data) is not None or id(data) in ids:
                data = data.copy()  # shared memory would change with its other owner
            ids.add(id(data))
            g = autograd.as_tensor(data)
            g._cut = not create_graph
        gradients.append(g)
    return gradients[0] if isinstance(xs, autograd.Tensor) else gradients


def ancestors(y: Tensor) -> list[Tensor]:
    """All nodes that `y` was computed from and that require gradients, inputs before outputs."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(y, False)] if y.requires_grad else []  # a graph may be deeper than Python's stack
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
    """The cotangents of the targets by id. Only vjps on paths from a target to `y` are called."""
    path = []  # the nodes between the targets and y, inputs first, with the edges to follow back
    needed: set[int] = set()
    for node in ancestors(y):
        edges = [edge for edge in node._inputs if id(edge[0]) in needed]
        if edges or id(node) in targets:
            needed.add(id(node))
            path.append((node, edges))

    cotangents = {id(y): cotangent}
    kept: dict[int, Tensor] = {}
    ours: set[int] = set()  # cotangents that nothing else refers to: safe to add to in place
    in_place = not recording.get()
    while path:
        node, edges = path.pop()
        g = cotangents.pop(id(node))
        if id(node) in targets:
            kept[id(node)] = g
        if edges:
            for x, _, version in node._inputs:
                _check(x, version)
        for x, vjp, _ in edges:
            gx = _fit(vjp(g, node), x)
            if id(x) not in cotangents:
                cotangents[id(x)] = gx
            elif in_place and id(x) in ours:
                cotangents[id(x)]._data += gx._data
            else:
                cotangents[id(x)] = cotangents[id(x)] + gx
                ours.add(id(x))
    return kept


def _fit(g: Tensor, x: Tensor) -> Tensor:
    """A cotangent in the shape and dtype of `x`: broadcasting is undone by summing."""
    if not isinstance(g, autograd.Tensor):
        raise TypeError(f"a vjp must return a Tensor, but one returned {type(g).__name__}")
    have, want = g._data.shape, x._data.shape
    if have != want:
        extra = len(have) - len(want)
        if extra < 0 or any(n not in (1, m) for n, m in zip(want, have[extra:], strict=True)):
            raise ValueError(f"a vjp returned shape {have} for {x._called()}")
        repeated = [k for k, m in enumerate(have) if k < extra or want[k - extra] != m]
        g = g.sum(tuple(repeated)).reshape(want)
    return g if g._data.dtype == x._data.dtype else g.astype(x.dtype)


def _check(x: Tensor, version: int) -> None:
    """An error if an input, or the array it is a view of, has changed or has lost its graph."""
    if x._version != version:
        change = f"{x._called()} was changed after it was used in this graph"
        raise RuntimeError(f"grad: {change}; take the gradient first, then update")
    if x._cut and not x.requires_grad:
        cut = f"{x._called()} is, or comes from, a gradient whose own graph was not kept"
        raise RuntimeError(f"grad: {cut}; pass create_graph=True to that grad(), or .detach() it")
    for y, _, version_then in x._inputs:
        if getattr(x._data, "base", x) is not None and xp.may_share_memory(x._data, y._data):
            _check(y, version_then)


def _why_unreachable(y: Tensor, x: Tensor, where: str) -> str:
    where = f"{where} ({x.name or 'unnamed'}, shape {x.shape})"
    if not x.requires_grad:
        return f"grad: {where} does not require gradients; make it Tensor(data, requires_grad=True)"
    if y._cut:
        return "grad: `y` comes from a grad() whose graph was not kept; pass it create_graph=True"
    if not y.requires_grad:
        return "grad: `y` is a constant, made under no_grad() or from inputs without requires_grad"
    return f"grad: `y` does not depend on {where}"


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Record no graph: `with no_grad():` or `@no_grad()`, never across a generator's `yield`."""
    token = recording.set(False)
    try:
        yield
    finally:
        recording.reset(token)


def is_recording() -> bool:
    """Whether operations are recorded: not under `no_grad`, nor in vjps without `create_graph`."""
    return recording.get()
