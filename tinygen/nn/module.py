"""A Module is a function with state: the parameters it learns, and arrays that it keeps.

Its state is found, not declared. Every Tensor among its attributes is a parameter, every array a
buffer, and every Module a part with a state of its own; Tensors and Modules are found in lists,
tuples and dicts too. Each is named by the way to it, `encoder.layers.0.weight`, once: what can be
reached by two ways is shared, and has the name of the first.

    class Autoencoder(Module):
        def __init__(self, *, rng):
            self.encoder = Dense(784, 20, rng=rng)
            self.decoder = Dense(20, 784, rng=rng)

        def forward(self, x):
            return self.decoder(tanh(self.encoder(x)))

Reading order: `Module`, its state, how it is shown; `Sequential`; `evaluating`; `summary`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from tinygen._types import Array, Shape
from tinygen.autograd import Tensor, no_grad, to_numpy, xp

__all__ = ["Function", "Module", "Sequential", "cost", "evaluating", "summary"]

Self = TypeVar("Self", bound="Module")
_watch: Callable[..., Any] | None = None  # set while `summary` looks on


class Module:
    """A function with parameters. Define `forward`; call the module itself."""

    training = True  # between `eval()` and `train()` it is False

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no `forward`")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        try:
            if _watch is not None:
                return _watch(self, inputs, options)
            return self.forward(*inputs, **options)
        except (TypeError, ValueError) as error:
            if hasattr(error, "add_note"):  # Python 3.11 or later
                self._note(error)
            raise

    def _note(self, error: Any) -> None:
        """Note on an error that it passed through this layer, and from which part of it."""
        part = getattr(error, "layer", None)
        parts = [f"`{name}` of " for name, each in _inside(self) if each is part]
        error.add_note(f"in {''.join(parts[:1])}{self._title()}")
        error.layer = self

    # --- its state ---

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module, as "", and all inside it with their dotted names, each before its parts."""
        found: dict[int, tuple[str, Module]] = {}

        def visit(name: str, module: Module) -> None:
            if id(module) not in found:
                found[id(module)] = name, module
                for part, each in _inside(module):
                    if isinstance(each, Module):
                        visit(f"{name}.{part}" if name else part, each)

        visit("", self)
        return list(found.values())

    def named_state(self) -> list[tuple[str, Tensor | Array]]:
        """All Tensors and arrays with their dotted names, in the order of the modules."""
        found: dict[int, tuple[str, Any]] = {}
        for name, module in self.named_modules():
            for part, each in _inside(module):
                if not isinstance(each, Module):
                    found.setdefault(id(each), (f"{name}.{part}" if name else part, each))
        names = [name for name, _ in found.values()]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"{type(self).__name__}: two different parameters or arrays are "
                f"called `{twice}`; rename a key or an attribute"
            )
        return list(found.values())

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """The Tensors that require gradients (not the frozen ones), with their dotted names."""
        return [
            (name, each)
            for name, each in self.named_state()
            if isinstance(each, Tensor) and each.requires_grad
        ]

    def parameters(self) -> list[Tensor]:
        """What to take gradients of, and to pass to an optimiser: see `named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self) -> dict[str, Array]:
        """A copy of all state on the host, by name: fit for `np.savez(file, **state)`."""
        return {name: np.array(to_numpy(_array(each))) for name, each in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over all the state that `state_dict` gave. If anything does not fit, nothing is."""
        ours = dict(self.named_state())
        new = {name: np.asarray(state[name]) for name in state}
        problems = [f"missing: {name}" for name in ours if name not in new]
        problems += [f"unexpected: {name}" for name in new if name not in ours]
        for name in [n for n in ours if n in new]:
            have, came = _array(ours[name]), new[name]
            if have.shape != came.shape or have.dtype != came.dtype:
                problems.append(
                    f"{name}: expected {have.dtype} of shape {have.shape}, got "
                    f"{came.dtype} of shape {came.shape}"
                )
        if problems:
            raise ValueError(
                f"load_state_dict: the state does not fit {type(self).__name__}\n  "
                + "\n  ".join(problems)
            )
        for name, each in ours.items():
            if isinstance(each, Tensor):
                each.data = xp.array(new[name])
            else:
                each[...] = new[name] if isinstance(each, np.ndarray) else xp.asarray(new[name])

    def astype(self: Self, dtype: Any) -> Self:
        """Convert all floating-point state, in place. (Layers begin in float32.)"""
        for _, each in self.named_state():
            if isinstance(each, Tensor) and each.dtype.kind == "f":
                each.data = each.data.astype(dtype)
        for _, module in self.named_modules():
            for name, each in vars(module).items():
                if isinstance(each, (np.ndarray, xp.ndarray)) and each.dtype.kind == "f":
                    setattr(module, name, each.astype(dtype))
        return self

    def train(self: Self, training: bool = True) -> Self:
        """Behave as in training: drop units, normalise with the batch's own statistics."""
        for _, module in self.named_modules():
            module.training = training
        return self

    def eval(self: Self) -> Self:
        """Behave as after training: drop nothing, normalise with the statistics gathered."""
        return self.train(False)

    def freeze(self: Self, frozen: bool = True) -> Self:
        """Take all parameters out of `parameters()`, so that they stay; or put them back."""
        for _, each in self.named_state():
            if isinstance(each, Tensor) and each.dtype.kind == "f":
                each.requires_grad = not frozen
        return self

    def multiply_adds(self, x: Shape, z: Shape) -> int:
        """Multiplications of its own, not of its parts, on the way from shape x to shape z."""
        return 0

    # --- how it is shown ---

    def _title(self) -> str:
        """The class and its settings: attributes that are numbers, words or tuples of these."""
        settings = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name != "training" and _is_setting(value)
        ]
        return type(self).__name__ + (f"({', '.join(settings)})" if settings else "")

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = []
        shown: set[int] = set()

        def show(name: str, module: Module, depth: int) -> None:
            own = [(n, e) for n, e in _inside(module) if isinstance(e, Tensor)]
            shapes = ", ".join(f"{n} {each.shape}" for n, each in own)
            count = sum(each.size for _, each in own)
            label = f"{'  ' * depth}{name}: " if name else ""
            rows.append((f"{label}{module._title()}  {shapes}", f"{count:,}" if count else ""))
            shown.add(id(module))
            for n, each in _inside(module):
                if isinstance(each, Module) and id(each) not in shown:
                    show(n, each, depth + 1)

        show("", self, 0)
        if len(rows) > 1:
            total = sum(e.size for _, e in self.named_state() if isinstance(e, Tensor))
            rows.append(("all parameters", f"{total:,}"))
        return _table(rows, "<>")


def _inside(module: Module) -> Iterator[tuple[str, Any]]:
    """A module's own Tensors, arrays and parts, by name, in the order they were set."""
    for name, value in vars(module).items():
        if isinstance(value, (np.ndarray, xp.ndarray)):
            yield name, value
        else:
            yield from _in_containers(name, value)


def _in_containers(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Tensor, Module)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _in_containers(f"{name}.{key}", each)


def _array(state: Tensor | Array) -> Array:
    return state.data if isinstance(state, Tensor) else state


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_setting(each) for each in value)
    return isinstance(value, (bool, int, float, str))


def _table(rows: list[tuple[str, ...]], align: str) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    )


class Function(Module):
    """A function of one argument as a layer, with options: `Function(elu, alpha=0.5)`."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function, self.options = function, options

    def forward(self, x: Any) -> Any:
        return self.function(x, **self.options)

    def _title(self) -> str:
        name = getattr(self.function, "__name__", repr(self.function))
        name = name if type(self) is Function else type(self).__name__
        settings = ", ".join(f"{k}={v!r}" for k, v in self.options.items() if v is not None)
        return name + (f"({settings})" if settings else "")


class Sequential(Module):
    """One layer after the other: modules, or functions such as `tinygen.relu`.

    The first layer gets the input as it is: give float32, the dtype in which layers begin.
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for i, layer in enumerate(layers):
            if not callable(layer) or (isinstance(layer, type) and issubclass(layer, Module)):
                came = layer.__name__ if isinstance(layer, type) else type(layer).__name__
                raise TypeError(
                    f"Sequential: expected layers or functions, got "
                    f"{'the class ' * isinstance(layer, type)}{came} as number "
                    f"{i}"
                )
        self.layers = [f if isinstance(f, Module) else Function(f) for f in layers]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __getitem__(self, index: int) -> Any:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """`with evaluating(model):` in evaluation mode, and nothing is recorded, as under `no_grad`

    Afterwards, also after an error, each part is in the mode again that it was in.
    """
    modes = [(module, module.training) for _, module in model.named_modules()]
    try:
        with no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def summary(model: Module, *inputs: Any) -> str:
    """A table of each layer's output shape, parameters and multiply-adds in `model(*inputs)`.

    A layer's row counts the layer itself, without its parts: the columns add up. The model runs in
    evaluation mode, so that nothing in it changes.
    """
    rows, totals = _run_watched(model, inputs)
    head = ("layer", "output", "parameters", "multiply-adds")
    return _table([head, *rows, ("total", "", *(f"{n:,}" for n in totals))], "<<>>")


def cost(model: Module, *inputs: Any) -> tuple[int, int]:
    """The totals of `summary`: parameters, and multiply-adds of one call."""
    return _run_watched(model, inputs)[1]


def _run_watched(
    model: Module, inputs: tuple[Any, ...]
) -> tuple[list[tuple[str, ...]], tuple[int, int]]:
    global _watch
    names = {id(module): name for name, module in model.named_modules()}
    own = {
        id(module): [each for _, each in _inside(module) if isinstance(each, Tensor)]
        for _, module in model.named_modules()
    }
    rows: list[tuple[str, ...]] = []
    counted: set[int] = set()  # a layer may be called twice, and has its parameters once
    totals = [0, 0]
    parents = [""]  # the prefixes of their parts' names

    def watch(module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        place, name = len(rows), names.get(id(module), "")
        indent, name_here = "  " * (len(parents) - 1), name.removeprefix(parents[-1])
        rows.append(())  # a module stands before its parts
        parents.append(f"{name}." if name else "")
        out = module.forward(*inputs, **options)
        parents.pop()
        new = {id(e): e.size for e in own.get(id(module), ()) if id(e) not in counted}
        counted.update(new)
        shapes = [tuple(getattr(each, "shape", ())) for each in (inputs[0], out)] if inputs else []
        numbers = [sum(new.values()), module.multiply_adds(*shapes) if shapes else 0]
        for i in range(2):
            totals[i] += numbers[i]
        title = f"{name_here} {module._title().partition('(')[0]}".strip()
        rows[place] = (indent + title, _shapes(out), *(f"{n:,}" if n else "" for n in numbers))
        return out

    _watch = watch
    try:
        with evaluating(model):
            model(*inputs)
    finally:
        _watch = None
    return rows, (totals[0], totals[1])


def _shapes(out: Any) -> str:
    """The shape of what came out, or of each of several."""
    if isinstance(out, (tuple, list)):
        return ", ".join(map(_shapes, out))
    return str(getattr(out, "shape", "")).replace(",)", ")")
