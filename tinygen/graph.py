"""The record of a computation as a graph, and the walk backwards through it.

Nothing here knows of arrays. A `Node` remembers which nodes it was computed from, and beside each
input a function `vjp(g, z)` that takes the cotangent `g` of the node `z` to the input's share.

The cotangent of a node is the derivative of the final result with respect to it. A node that is
used twice receives two shares, which add up, because a small change of it arrives at the result by
both ways. So it can pass its own cotangent on only when all that used it have been visited, and
the walk must take the nodes in an order in which each comes before its inputs.

Reading order: `Node`, `ancestors`, `walk_back`.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

recording = contextvars.ContextVar("recording", default=True)
GENERATOR = 0x20  # the flag of a generator function's code (inspect.CO_GENERATOR)


class Node:
    """What remembers its inputs. `Tensor` adds the array, and how cotangents add up."""

    __slots__ = ("__weakref__", "_cut", "_inputs", "_version", "name", "requires_grad")

    _inputs: tuple[tuple[Any, Callable[[Any, Any], Any], int], ...]  # (input, vjp, its version)
    _version: int  # how often the data has been changed
    _cut: bool  # a constant computed from a gradient whose own graph was not kept
    name: str | None
    requires_grad: bool

    @property
    def shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _fit(self, g: Any) -> Any:
        """The cotangent `g` that a vjp returned for this node, in its shape."""
        raise NotImplementedError

    def _shares_memory(self, other: Any) -> bool:
        """Whether a change of `other` in place changes this too."""
        raise NotImplementedError

    def _called(self) -> str:
        return f"`{self.name}`" if self.name else f"an input of shape {self.shape}"


class no_grad(contextlib.ContextDecorator):
    """Record nothing: `with no_grad():` or `@no_grad()`. For sampling, evaluation, updates.

    A generator hands control back in the middle, so it can't be decorated: enter it around each
    step instead, never across a `yield`.
    """

    def __enter__(self) -> None:
        self._token = recording.set(False)

    def __exit__(self, *_: object) -> None:
        recording.reset(self._token)

    def _recreate_cm(self) -> no_grad:
        return no_grad()  # a decorated function may call itself

    def __call__(self, f: Any) -> Any:
        if getattr(getattr(f, "__code__", None), "co_flags", 0) & GENERATOR:
            raise TypeError(f"no_grad: {f.__name__} is a generator; use `with no_grad():` in it, "
                            f"around what lies between two yields")  # fmt: skip
        return super().__call__(f)


def is_recording() -> bool:
    """Whether operations are being recorded: not under `no_grad`, nor in most vjps."""
    return recording.get()


def ancestors(y: Node) -> list[Node]:
    """All nodes that `y` was computed from and that require gradients, inputs before outputs.

    With a stack of its own instead of recursion: a graph may be deeper than Python's stack.
    """
    order: list[Node] = []
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


def walk_back(y: Node, targets: set[int], cotangent: Any) -> dict[int, Any]:
    """The cotangents of the targets by id. No vjp off the paths from them to `y` is called."""
    path = []  # the nodes between the targets and y, inputs first, with the edges to follow back
    needed: set[int] = set()
    for node in ancestors(y):
        edges = [edge for edge in node._inputs if id(edge[0]) in needed]
        if edges or id(node) in targets:
            needed.add(id(node))
            path.append((node, edges))

    cotangents = {id(y): cotangent}
    found: dict[int, Any] = {}
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
            gx = x._fit(vjp(g, node))
            if id(x) not in cotangents:
                cotangents[id(x)] = gx
            elif in_place and id(x) in ours:
                cotangents[id(x)]._add_in_place(gx)
            else:
                cotangents[id(x)] = cotangents[id(x)] + gx
                ours.add(id(x))
    return found


def _check_inputs(node: Node) -> None:
    """Refuse to differentiate what would silently come out wrong."""
    for x, _, version in node._inputs:
        _check_unchanged(x, version)
        if x._cut and not x.requires_grad:
            raise RuntimeError(f"grad: `y` depends on a gradient, or on {x._called()} computed "
                               f"from one, whose own graph was not kept; pass create_graph=True to "
                               f"that grad(), or .detach() it if it is a constant")  # fmt: skip


def _check_unchanged(x: Node, version: int) -> None:
    """Neither it nor, if it is a view, as a transpose is, what it is a view of."""
    if x._version != version:
        raise RuntimeError(f"grad: {x._called()} was changed after it was used in this graph; "
                           f"take the gradient first, then update")  # fmt: skip
    for y, _, version_then in x._inputs:
        if x._shares_memory(y):
            _check_unchanged(y, version_then)


def why_unreachable(y: Node, x: Node, where: str) -> str:
    x_is = f"{where} ({x.name or 'unnamed'}, shape {x.shape})"
    if not x.requires_grad:
        return f"grad: {x_is} does not require gradients; make it Tensor(data, requires_grad=True)"
    if y._cut:
        return (f"grad: `y` was computed from a gradient whose own graph was not kept, so {x_is} "
                f"can't be reached; pass create_graph=True to the first grad()")  # fmt: skip
    if not y.requires_grad:
        return (f"grad: `y` is a constant: it was computed under no_grad(), or from nothing that "
                f"requires gradients, so {x_is} can't be reached")  # fmt: skip
    return f"grad: `y` does not depend on {x_is}"
