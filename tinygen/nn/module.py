"""A Module is a function with state: parameters that it learns, and arrays that it keeps.

State is found, not declared. Every Tensor attribute is a parameter, every array a buffer, every
Module a part; Tensors and Modules in lists, tuples and dicts count too. Each is named by its path,
`encoder.layers.0.weight`; a shared one by the first of its paths.

    class Autoencoder(Module):
        def __init__(self, *, rng):
            self.encoder = Dense(784, 20, rng=rng)
            self.decoder = Dense(20, 784, rng=rng)

        def forward(self, x):
            return self.decoder(tanh(self.encoder(x)))
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygen._checks import same_state
from tinygen._html import table
from tinygen._names import missing
from tinygen._types import Array, Shape
from tinygen.autograd import Tensor, no_grad, to_numpy, xp

__all__ = ["Function", "Module", "Sequential", "cost", "evaluating", "summary"]

Self = TypeVar("Self", bound="Module")
_watch: Callable[..., Any] | None = None  # while `summary` runs a model, it receives all calls


class Module:
    """A function with parameters. Define `forward`; call the module itself."""

    training = True  # False after `eval()`

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no `forward`")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        try:
            if _watch is not None:
                return _watch(self, inputs, options)
            return self.forward(*inputs, **options)
        except (TypeError, ValueError) as error:
            if hasattr(error, "add_note"):  # Python 3.11 or later
                inner = vars(error).get("layer")
                part = [f"`{name}` of " for name, value in _inside(self) if value is inner]
                error.add_note(f"in {''.join(part[:1])}{self._title()}")
                vars(error)["layer"] = self
            raise

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module, as "", and all modules inside it by dotted name, each before its parts."""
        named: dict[int, tuple[str, Module]] = {}

        def visit(name: str, module: Module) -> None:
            if id(module) not in named:
                named[id(module)] = name, module
                for part, value in _inside(module):
                    if isinstance(value, Module):
                        visit(f"{name}.{part}" if name else part, value)

        visit("", self)
        return list(named.values())

    def named_state(self) -> list[tuple[str, Tensor | Array]]:
        """All Tensors and arrays with their dotted names, in the order of the modules."""
        state: dict[str, Any] = {}
        seen: set[int] = set()
        for name, module in self.named_modules():
            for part, value in _inside(module):
                if isinstance(value, Module) or id(value) in seen:
                    continue
                seen.add(id(value))
                path = f"{name}.{part}" if name else part
                if state.setdefault(path, value) is not value:
                    raise ValueError(f"{type(self).__name__}: two Tensors or arrays named `{path}`")
        return list(state.items())

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """The Tensors that require gradients (not the frozen ones), with their dotted names."""
        return [(name, x) for name, x in _tensors(self.named_state()) if x.requires_grad]

    def parameters(self) -> list[Tensor]:
        """The Tensors of `named_parameters`, for `grad` and an optimiser."""
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self) -> dict[str, Array]:
        """A copy of all state on the host, by name, for `np.savez(file, **state)`."""
        return {
            name: value.numpy() if isinstance(value, Tensor) else np.array(to_numpy(value))
            for name, value in self.named_state()
        }

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Load what `state_dict` returned. If anything does not fit, nothing changes."""
        ours = dict(self.named_state())
        new = {name: np.asarray(state[name]) for name in state}
        same_state(type(self).__name__, ours, new)
        for name, value in ours.items():
            if isinstance(value, Tensor):
                value.data = xp.array(new[name])
            else:
                value[...] = new[name] if isinstance(value, np.ndarray) else xp.asarray(new[name])

    def astype(self: Self, dtype: Any) -> Self:
        """Convert all floating-point state, in place. (Layers start in float32.)"""
        for _, module in self.named_modules():
            for name, value in _inside(module):
                if isinstance(value, Tensor) and value.dtype.kind == "f":
                    value.data = value.data.astype(dtype)
                elif not isinstance(value, (Tensor, Module)) and value.dtype.kind == "f":
                    setattr(module, name, value.astype(dtype))
        return self

    def train(self: Self, training: bool = True) -> Self:
        """Training mode: dropout is active, batch norm uses the batch's statistics."""
        for _, module in self.named_modules():
            module.training = training
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode: no dropout, batch norm uses its running statistics."""
        return self.train(False)

    def freeze(self: Self, frozen: bool = True) -> Self:
        """Remove all parameters from `parameters()`, so that they stay fixed; or add them again."""
        for _, tensor in _tensors(self.named_state()):
            tensor.requires_grad = not frozen and tensor.dtype.kind == "f"
        return self

    def multiply_adds(self, x: Shape, z: Shape, *others: Shape) -> int:
        """Multiply-adds of this module without its parts: x, others are inputs, z is the output."""
        return 0

    def _title(self) -> str:
        return _call(type(self).__name__, vars(self))

    def _lines(self) -> list[tuple[str, str, str]]:
        """For each module its name, title, and the shapes of its own parameters."""
        lines = []
        for name, module in self.named_modules():
            own = _tensors(_inside(module))
            shapes = "".join(f"  {part} {tensor.shape}" for part, tensor in own)
            lines.append((name, module._title(), shapes))
        return lines

    def _total(self) -> str:
        return f"{sum(p.size for _, p in _tensors(self.named_state())):,} parameters"

    def __repr__(self) -> str:
        lines = [f"{name}: {title}{own}".removeprefix(": ") for name, title, own in self._lines()]
        return "\n".join(lines if self._total() == "0 parameters" else [*lines, self._total()])

    def _repr_html_(self) -> str:
        return table([*self._lines(), ("", self._total(), "")], ("", "module", "own parameters"))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise missing(type(self).__name__, name, self)


def _inside(module: Module) -> Iterator[tuple[str, Any]]:
    """A module's own Tensors, arrays and parts, by name, in the order they were set."""
    for name, value in vars(module).items():
        is_array = isinstance(value, (np.ndarray, xp.ndarray))
        yield from [(name, value)] if is_array else _in_containers(name, value)


def _in_containers(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Tensor, Module)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _in_containers(f"{name}.{key}", item)


def _tensors(state: Iterable[tuple[str, Any]]) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in state if isinstance(value, Tensor)]


def _call(name: str, options: Mapping[str, Any]) -> str:
    """`name(k=v, …)`, with the options that are numbers, strings or tuples of these."""
    plain = [(k, v) for k, v in options.items() if isinstance(v, (int, float, str, tuple))]
    settings = [f"{k}={v!r}" for k, v in plain if k != "training" and not any(_in_containers(k, v))]
    return f"{name}({', '.join(settings)})" if settings else name


class Function(Module):
    """A function of one argument as a layer, with options: `Function(elu, alpha=0.5)`."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function, self.options = function, options

    def forward(self, x: Any) -> Any:
        return self.function(x, **self.options)

    def _title(self) -> str:
        name = getattr(self.function, "__name__", repr(self.function))
        return _call(name if type(self) is Function else type(self).__name__, self.options)


class Sequential(Module):
    """Layers in sequence, modules or functions such as `tinygen.relu`, for float32 input."""

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for f in layers:
            if not callable(f) or isinstance(f, type):
                raise TypeError(f"Sequential: expected layers or functions, got {f!r}")
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
    """`with evaluating(model):` evaluation mode under `no_grad`; modes are restored afterwards"""
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

    A row excludes the layer's parts, so that columns add up. The model runs in evaluation mode.
    """
    rows = _run(model, inputs)
    width = max(len(name) for name, *_ in rows)
    lines = [f"{'layer':{width}}  {'output':20} {'parameters':>12} {'multiply-adds':>16}"]
    return "\n".join(lines + [f"{name:{width}}  {z:20} {n:12,} {m:16,}" for name, z, n, m in rows])


def cost(model: Module, *inputs: Any) -> tuple[int, int]:
    """The totals of `summary`: parameters, and multiply-adds of one call."""
    *_, parameters, multiply_adds = _run(model, inputs)[-1]
    return parameters, multiply_adds


def _run(model: Module, inputs: tuple[Any, ...]) -> list[list[Any]]:
    """A row for each call of a module in `model(*inputs)`, and one for the total."""
    global _watch
    known = {id(m): (name, _tensors(_inside(m))) for name, m in model.named_modules()}
    rows: list[list[Any]] = []
    counted: set[int] = set()  # a shared layer's parameters count once

    def watch(module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        name, own = known.get(id(module), ("", []))
        row: list[Any] = [f"{name} {module._title().partition('(')[0]}".lstrip()]
        rows.append(row)  # before its parts
        z = module.forward(*inputs, **options)
        results = z if isinstance(z, (tuple, list)) else [z]
        xs, zs = ([getattr(y, "shape", ()) for y in ys] for ys in ((*inputs, None), results))
        new = {id(p): p.size for _, p in own if id(p) not in counted}
        counted.update(new)
        products = module.multiply_adds(xs[0], zs[0], *xs[1:-1])
        row += [", ".join(map(str, zs)), sum(new.values()), products]
        return z

    _watch = watch
    try:
        with evaluating(model):
            model(*inputs)
    finally:
        _watch = None
    return [*rows, ["total", "", *(sum(row[i] for row in rows) for i in (2, 3))]]
