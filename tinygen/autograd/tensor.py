"""A Tensor is an array that remembers how it was computed, so that it can be differentiated.

`record(data, (x, vjp_x), (y, vjp_y))` makes one: the value, computed in plain arrays, and beside
each input a function `vjp(g, z)` from the output's cotangent `g` to that input's, where `z` is the
output itself. The cotangent of a Tensor is the derivative of the final scalar with respect to it.

    z = x * y        record(x.data * y.data, (x, lambda g, z: g * y), (y, lambda g, z: g * x))

`grad`, in graph.py, walks that record backwards. Because vjps are written in Tensors, what they
compute can be recorded too, and differentiated again: gradients of any order, with no further code.

A vjp is handed its output instead of keeping it, so no Tensor refers to itself and a graph is
freed the moment it is dropped. Arrays in a vjp must be locally constant: masks, signs, shapes.

Reading order: Tensor's first page, `record`; then the operators, each an equation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygen import autograd
from tinygen._types import Array, Shape
from tinygen.autograd import backend
from tinygen.autograd.backend import to_numpy, xp
from tinygen.autograd.graph import ancestors, recording

__all__ = ["Tensor", "as_tensor", "record"]

Vjp: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
Axis: TypeAlias = int | tuple[int, ...] | None


class Tensor:
    """An array `data`, and how it was computed. `Tensor(data)` copies, `as_tensor(data)` shares.

    With `requires_grad`, gradients with respect to it can be asked for. `name` is used in errors.
    Tensors compare by identity; `<` and `>` give plain arrays of booleans.
    """

    __slots__ = (
        "__weakref__",
        "_cut",
        "_data",
        "_inputs",
        "_version",
        "grad",
        "name",
        "requires_grad",
    )
    __array_ufunc__ = None  # numpy_array * tensor is ours to compute
    __contains__ = None
    _data: Array
    _inputs: tuple[tuple[Tensor, Vjp, int], ...]  # (input, vjp, its version then)
    _version: int  # how often the data has been changed
    _cut: bool  # a constant computed from a gradient whose own graph was not kept
    grad: Tensor | None
    name: str | None
    requires_grad: bool

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None) -> None:
        array = xp.array(data._data if isinstance(data, Tensor) else _real("Tensor", data))
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"Tensor: only floating-point data can require gradients, got dtype "
                f"{array.dtype}; convert with .astype(float)"
            )
        backend.seal("tensors exist already")
        self._data, self.requires_grad, self.name = array, requires_grad, name
        self._inputs, self._version, self._cut, self.grad = (), 0, False, None

    # the array and its properties; `data` may be set anew, which counts as a change in place
    @property
    def shape(self) -> Shape:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    def _set_data(self, array: Array) -> None:
        if not isinstance(array, xp.ndarray):
            raise TypeError(
                f"data: expected an array of the {backend.name} backend, got {type(array).__name__}"
            )
        self._data, self._version = array, self._version + 1

    data = property(operator.attrgetter("_data"), _set_data, doc="The plain array.")

    def numpy(self) -> Array:
        """A copy on the host, as a NumPy array."""
        return np.array(to_numpy(self._data))

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self._data.item()

    def detach(self) -> Tensor:
        """The same data as a constant: gradients stop here. It shares memory with this tensor."""
        return as_tensor(self._data)

    def backward(self, cotangent: Tensor | None = None) -> None:
        """Add the gradient with respect to every leaf that requires one into its `.grad`."""
        leaves = [x for x in ancestors(self) if not x._inputs]
        for leaf, g in zip(leaves, autograd.grad(self, leaves, cotangent=cotangent), strict=True):
            g = g.detach()  # what `.grad` gathers is a constant
            leaf.grad = g if leaf.grad is None else leaf.grad + g

    def _called(self) -> str:
        return f"`{self.name}`" if self.name else f"an input of shape {self.shape}"

    def __repr__(self) -> str:
        text = np.array2string(to_numpy(self._data), separator=", ", prefix="Tensor(")
        notes = f", dtype={self.dtype}" + (", requires_grad=True" if self.requires_grad else "")
        return f"Tensor({text}{notes}" + (f", name={self.name!r})" if self.name else ")")

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._data, dtype=dtype)  # CuPy refuses, and says to use .numpy() or .get()

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a tensor with no axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"bool(): a tensor of shape {self.shape} is neither true nor false; "
                f"reduce a comparison, as in (x > 0).all()"
            )
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    # --- arithmetic: z = x + y and so on. Operands broadcast; `grad` undoes it, in `_fit` ---

    def __add__(self, other: Any) -> Tensor:
        """z = x + y;  x̄ = z̄,  ȳ = z̄"""
        x, y, a, b = _meet("+", self, other)
        return record(apply(operator.add, a, b), (x, lambda g, _: g), (y, lambda g, _: g))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        """z = x − y;  x̄ = z̄,  ȳ = −z̄"""
        x, y, a, b = _meet("-", self, other)
        return record(apply(operator.sub, a, b), (x, lambda g, _: g), (y, lambda g, _: -g))

    def __rsub__(self, other: Any) -> Tensor:
        return (-self).__add__(other)

    def __neg__(self) -> Tensor:
        """z = −x;  x̄ = −z̄"""
        return record(-self._data, (self, lambda g, _: -g))

    def __mul__(self, other: Any) -> Tensor:
        """z = x ⊙ y;  x̄ = z̄ ⊙ y,  ȳ = z̄ ⊙ x"""
        x, y, a, b = _meet("*", self, other)
        return record(apply(operator.mul, a, b), (x, lambda g, _: g * y), (y, lambda g, _: g * x))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        """z = x / y;  x̄ = z̄ / y,  ȳ = −z̄ ⊙ z / y"""
        x, y, a, b = _meet("/", self, other)
        return record(
            apply(operator.truediv, a, b), (x, lambda g, _: g / y), (y, lambda g, z: -(g * z / y))
        )

    def __rtruediv__(self, other: Any) -> Tensor:
        """z = c / x;  x̄ = −z̄ ⊙ z / x"""
        x, _, a, b = _meet("/", self, other)
        return record(apply(operator.truediv, b, a), (x, lambda g, z: -(g * z / x)))

    def __pow__(self, other: Any) -> Tensor:
        """z = xʸ;  x̄ = z̄ ⊙ y xʸ⁻¹,  ȳ = z̄ ⊙ z log x  (taken as 0 where x ≤ 0)"""
        x, y, a, b = _meet("**", self, other)
        z = apply(operator.pow, a, b)
        if not isinstance(y, Tensor):
            return record(z, (x, lambda g, _: g * (y * x ** (y - 1)) if y else g * 0.0))
        y = y if y.dtype == b.dtype else as_tensor(b)  # an integer exponent, as a float
        nothing = (a == 0) & (b == 0)  # 0⁰ is flat in x: keep 0 · 0⁻¹ from making it NaN
        base = record(xp.where(a > 0, a, 1), (x, lambda g, _: g * (a > 0)))
        return record(
            z,
            (x, lambda g, _: g * (y * x ** (y - 1 + nothing))),
            (y, lambda g, z: g * (z * autograd.log(base) * (a > 0))),
        )

    def __rpow__(self, other: Any) -> Tensor:
        dtype = self.dtype if self.dtype.kind == "f" else None
        return as_tensor(xp.asarray(other, dtype=dtype)) ** self

    def __abs__(self) -> Tensor:
        """z = |x|;  x̄ = z̄ ⊙ sign x"""
        return record(abs(self._data), (self, lambda g, _: g * xp.sign(self._data)))

    def __matmul__(self, other: Any) -> Tensor:
        """Z = X Y;  X̄ = Z̄ Yᵀ,  Ȳ = Xᵀ Z̄  (over the last two axes; a vector is one row or column)"""
        return autograd.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return autograd.matmul(other, self)

    # comparisons, as plain arrays: they are locally constant
    def __lt__(self, other: Any) -> Array:
        return apply(operator.lt, *_meet("<", self, other)[2:])

    def __le__(self, other: Any) -> Array:
        return apply(operator.le, *_meet("<=", self, other)[2:])

    def __gt__(self, other: Any) -> Array:
        return apply(operator.gt, *_meet(">", self, other)[2:])

    def __ge__(self, other: Any) -> Array:
        return apply(operator.ge, *_meet(">=", self, other)[2:])

    # --- shapes, sums and slices: methods for functions of this package ---

    @property
    def T(self) -> Tensor:
        return autograd.transpose(self)

    def transpose(self, axes: Sequence[int] | None = None) -> Tensor:
        return autograd.transpose(self, axes)

    def reshape(self, *shape: Any) -> Tensor:
        return autograd.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return autograd.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return autograd.mean(self, axis, keepdims)

    def astype(self, dtype: Any) -> Tensor:
        """The same values in another dtype; gradients come back in this one."""
        data = self._data.astype(dtype)
        return record(data, (self, lambda g, _: g)) if data.dtype.kind == "f" else as_tensor(data)

    def _index(self, index: Any) -> Any:
        """An index with its Tensors and sequences as arrays, on the device, and in range."""
        parts = []
        for i in index if isinstance(index, tuple) else (index,):
            i = i._data if isinstance(i, Tensor) else i
            if isinstance(i, (list, tuple, range)):
                i = np.asarray(i, dtype=None if len(i) else int)
            parts.append(i)
        return backend.as_index(tuple(parts) if isinstance(index, tuple) else parts[0], self.shape)

    def __getitem__(self, index: Any) -> Tensor:
        """z = x[i];  x̄ = 0 but for x̄[i] += z̄  (an entry taken twice gathers both)"""
        index, x = self._index(index), self
        return record(x._data[index], (x, lambda g, _: autograd.shaping.put(g, index, x.shape)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._inputs or (self.requires_grad and recording.get()):
            raise TypeError(
                "x[i] = v would change a tensor that gradients are recorded for; write "
                "x = where(mask, v, x) or concat(parts), or, to set a parameter, "
                "do it under no_grad()"
            )
        value = value._data if isinstance(value, Tensor) else xp.asarray(_real("x[i] = v", value))
        self._data[self._index(index)] = value
        self._version += 1


# --- the record -----------------------------------------------------------------------------------


def record(data: Array, *inputs: tuple[Any, Vjp]) -> Tensor:
    """`data` as a Tensor that was computed from `inputs`, pairs of (input, vjp).

    `vjp(g, z)`, written in Tensor operations, takes the cotangent `g` of this tensor `z` to that of
    the input; a broadcast shape is summed down by `grad`. Other inputs than Tensors are constants.
    """
    out = constant(data)
    if recording.get():
        edges = [(x, vjp, x._version) for x, vjp in inputs if isinstance(x, Tensor)]
        for x, _, _ in edges:
            if x.requires_grad:
                out.requires_grad, out._inputs = True, tuple(edges)
                return out
            if x._cut:
                out._cut = True
    return out


def constant(data: Array) -> Tensor:
    out = Tensor.__new__(Tensor)
    # NumPy's reductions give scalars, which are not arrays
    out._data = data if isinstance(data, xp.ndarray) else xp.asarray(data)
    out._inputs, out._version, out._cut = (), 0, False
    out.grad, out.name, out.requires_grad = None, None, False
    return out


def as_tensor(x: Any) -> Tensor:
    """`x` itself if it is a Tensor; otherwise a constant that shares its memory."""
    if isinstance(x, Tensor):
        return x
    _same_backend("as_tensor", x)
    backend.seal("tensors exist already")
    return constant(xp.asarray(_real("as_tensor", x)))


def as_float(x: Any) -> Tensor:
    """`as_tensor(x)`, integers as float64: what has no integer values is not rounded to any."""
    x = as_tensor(x)
    return x if x._data.dtype.kind == "f" else constant(x._data.astype(np.float64))


# --- operands -------------------------------------------------------------------------------------


def _real(operation: str, x: Any) -> Any:
    """What can be made an array of real numbers, as one; arrays and numbers as they are."""
    if isinstance(x, (list, tuple)) and any(isinstance(i, Tensor) for i in x):
        raise TypeError(
            f"{operation}: a list of tensors would lose their gradients; join them "
            f"with stack(tensors)"
        )
    array = x if hasattr(x, "dtype") else np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{operation}: expected real numbers, got {type(x).__name__} of dtype {array.dtype}"
        )
    return array


def _same_backend(operation: str, x: Any) -> None:
    if hasattr(x, "__array_interface__") or hasattr(x, "__cuda_array_interface__"):
        if not isinstance(x, (xp.ndarray, np.generic)):
            raise TypeError(
                f"{operation}: a {type(x).__module__} array meets tensors of the "
                f"{backend.name} backend; move it with Tensor(array)"
            )


def _meet(op: str, x: Tensor, other: Any) -> tuple[Tensor, Any, Array, Any]:
    """Both operands as (x, y, x's array, y's array or number), in one dtype.

    Numbers and plain arrays are constants and take the tensor's dtype: float32 stays float32.
    Two tensors of different float dtypes are an error; integers follow floats.
    """
    a = x._data
    if isinstance(other, Tensor):
        b = other._data
        if a.dtype != b.dtype:
            if a.dtype.kind == b.dtype.kind == "f":
                raise TypeError(
                    f"{op}: float dtypes differ, {a.dtype} and {b.dtype}; convert one with .astype"
                )
            if a.dtype.kind == "f":
                b = b.astype(a.dtype)
            elif b.dtype.kind == "f":
                a = a.astype(b.dtype)
        return x, other, a, b
    if isinstance(other, np.generic):
        other = other.item()
    if isinstance(other, (int, float)):
        return x, other, a, other
    _same_backend(op, other)
    b = xp.asarray(_real(op, other))
    if a.dtype.kind == "f" and a.dtype != b.dtype:
        b = b.astype(a.dtype)
    return x, constant(b), a, b


def meet_either(op: str, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """`_meet` where the tensor among the operands may be the second."""
    if isinstance(x, Tensor) or not isinstance(y, Tensor):
        return _meet(op, as_tensor(x), y)
    y, x, b, a = _meet(op, y, x)
    return x, y, a, b


def as_alike(name: str, *xs: Any) -> list[Tensor]:
    """All as Tensors of one dtype: plain arrays and integers take that of the float Tensors."""
    tensors = [as_tensor(x) for x in xs]
    if len({x._data.dtype for x in tensors}) < 2:
        return tensors
    dtypes = {x.dtype for x in xs if isinstance(x, Tensor) and x.dtype.kind == "f"}
    dtypes = dtypes or {x.dtype for x in tensors}
    if len(dtypes) > 1:
        raise TypeError(
            f"{name}: dtypes differ, {' and '.join(sorted(map(str, dtypes)))}; convert with .astype"
        )
    (dtype,) = dtypes
    return [x if x.dtype == dtype else x.astype(dtype) for x in tensors]


def apply(f: Callable[[Any, Any], Array], a: Any, b: Any, name: str = "") -> Array:
    try:
        return f(a, b)
    except ValueError:
        shapes = getattr(a, "shape", ()), getattr(b, "shape", ())
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(
                f"{name or f.__name__}: shapes {shapes[0]} and {shapes[1]} do not broadcast"
            ) from None
        raise
