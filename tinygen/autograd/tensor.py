"""A Tensor is an array that remembers how it was computed, so that it can be differentiated.

`record(data, (x, vjp_x), (y, vjp_y))` makes one from its value, a plain array, and for each input a
function `vjp(g, z)` from the cotangent `g` of the output `z` to the cotangent of the input. A
Tensor's cotangent is the derivative of the final scalar with respect to it.

    z = x * y        record(x.data * y.data, (x, lambda g, z: g * y), (y, lambda g, z: g * x))

`grad`, in graph.py, traverses this graph of inputs backwards. Vjps are written in Tensors, so that
gradients can be differentiated again; arrays in them must be locally constant. A vjp receives its
output as an argument, because a closure over it would be a reference cycle.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygen import autograd
from tinygen._names import missing
from tinygen._types import Array, ArrayLike, Shape
from tinygen.autograd import backend, interop
from tinygen.autograd.backend import to_numpy, xp
from tinygen.autograd.graph import ancestors, recording

__all__ = ["Tensor", "as_tensor", "record"]

Vjp: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
Axis: TypeAlias = int | tuple[int, ...] | None


class Tensor:
    """An array `data` and how it was computed. `Tensor(data)` copies it, `as_tensor` shares it.

    With `requires_grad`, `grad` can differentiate with respect to it. Errors mention `name`.
    `==` compares identity; `<` and `>` give plain boolean arrays.
    """

    _data: Array
    _inputs: tuple[tuple[Tensor, Vjp, int], ...]  # (input, vjp, the input's version at the time)
    _version: int  # how often the data has been changed
    _cut: bool  # a constant from a gradient whose graph was not kept
    grad: Tensor | None
    name: str | None
    requires_grad: bool
    __slots__ = (*__annotations__, "__weakref__")  # a misspelt attribute is an error
    __contains__ = None
    __array_ufunc__ = interop.UFUNC
    __array_function__ = interop.array_function

    def __init__(self, data: ArrayLike, requires_grad: bool = False, name: str | None = None):
        self._data = xp.array(data._data if isinstance(data, Tensor) else _real(data))
        if requires_grad and self.dtype.kind != "f":
            raise TypeError(f"Tensor: only floats can require gradients, got {self.dtype}")
        self.requires_grad, self.name = requires_grad, name
        self._inputs, self._version, self._cut, self.grad = (), 0, False, None
        backend.in_use = True

    def _set_data(self, array: Array) -> None:  # counts as an in-place change
        if not isinstance(array, xp.ndarray):
            raise TypeError(f"data: expected a {backend.name} array, got {type(array).__name__}")
        self._data, self._version = array, self._version + 1

    data = property(operator.attrgetter("_data"), _set_data, doc="The plain array.")

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

    def numpy(self) -> Array:
        """A copy on the host, as a NumPy array."""
        return np.array(to_numpy(self._data))

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self._data.size != 1:
            raise ValueError(f"item: expected one element, got shape {self.shape}; sum or index")
        return self._data.item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def detach(self) -> Tensor:
        """The same data, in shared memory, as a constant: gradients stop here."""
        return constant(self._data)

    def backward(self, cotangent: Tensor | None = None) -> None:
        """Add gradients to the `.grad` of every leaf that requires them."""
        leaves = [x for x in ancestors(self) if not x._inputs]
        for leaf, g in zip(leaves, autograd.grad(self, leaves, cotangent=cotangent), strict=True):
            g = g.detach()  # `.grad` is a constant
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
        if self.requires_grad:
            raise TypeError("a NumPy array would lose the gradient: take x.numpy() for the values")
        array = np.array(self._data, dtype, copy=copy)  # CuPy refuses, and says to use .get()
        if array is self._data:  # to be read, not changed behind the graph's back
            array = array.view()
            array.flags.writeable = False
        return array

    def __reduce__(self) -> Any:  # for pickle and copy
        if self._inputs:
            raise TypeError("a Tensor can't be pickled or copied with its graph: take x.detach()")
        return Tensor, (self.numpy(), self.requires_grad, self.name)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise missing("Tensor", name, self)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    # --- arithmetic. Operands broadcast; `grad` undoes that in `_fit` ---

    def __add__(self, other: ArrayLike) -> Tensor:
        """z = x + y;  x̄ = z̄,  ȳ = z̄"""
        x, y, a, b = meet("+", self, other)
        return record(a + b, (x, lambda g, _: g), (y, lambda g, _: g))

    __radd__ = __add__

    def __sub__(self, other: ArrayLike) -> Tensor:
        """z = x − y;  x̄ = z̄,  ȳ = −z̄"""
        x, y, a, b = meet("-", self, other)
        return record(a - b, (x, lambda g, _: g), (y, lambda g, _: -g))

    def __rsub__(self, other: ArrayLike) -> Tensor:
        return (-self).__add__(other)

    def __neg__(self) -> Tensor:
        """z = −x;  x̄ = −z̄"""
        return record(-self._data, (self, lambda g, _: -g))

    def __mul__(self, other: ArrayLike) -> Tensor:
        """z = x ⊙ y;  x̄ = z̄ ⊙ y,  ȳ = z̄ ⊙ x"""
        x, y, a, b = meet("*", self, other)
        return record(a * b, (x, lambda g, _: g * y), (y, lambda g, _: g * x))

    __rmul__ = __mul__

    def __truediv__(self, other: ArrayLike) -> Tensor:
        """z = x / y;  x̄ = z̄ / y,  ȳ = −z̄ ⊙ z / y"""
        x, y, a, b = meet("/", self, other)
        return record(a / b, (x, lambda g, _: g / y), (y, lambda g, z: -(g * z / y)))

    def __rtruediv__(self, other: ArrayLike) -> Tensor:
        """z = c / x;  x̄ = −z̄ ⊙ z / x"""
        _, x, a, b = meet("/", other, self)
        return record(a / b, (x, lambda g, z: -(g * z / x)))

    def __pow__(self, other: ArrayLike) -> Tensor:
        """z = xʸ;  x̄ = z̄ ⊙ y xʸ⁻¹,  ȳ = z̄ ⊙ z log x  (taken as 0 where x ≤ 0)"""
        x, y, a, b = meet("**", self, other)
        if not isinstance(y, Tensor):
            return record(a**b, (x, lambda g, _: g * (y * x ** (y - 1)) if y else g * 0.0))
        nothing = (a == 0) & (b == 0)  # at 0⁰, so that 0 · 0⁻¹ does not give NaN
        base = record(xp.where(a > 0, a, 1), (x, lambda g, _: g * (a > 0)))
        return record(
            a**b,
            (x, lambda g, _: g * (y * x ** (y - 1 + nothing))),
            (y, lambda g, z: g * (z * autograd.log(base) * (a > 0))),
        )

    def __rpow__(self, other: ArrayLike) -> Tensor:
        x, y = as_alike("**", other, self)
        return x**y

    def __abs__(self) -> Tensor:
        """z = |x|;  x̄ = z̄ ⊙ sign x"""
        return record(abs(self._data), (self, lambda g, _: g * xp.sign(self._data)))

    def __matmul__(self, other: ArrayLike) -> Tensor:
        """Z = X Y;  X̄ = Z̄ Yᵀ,  Ȳ = Xᵀ Z̄  (over the last two axes; a vector is one row or column)"""
        return autograd.matmul(self, other)

    def __rmatmul__(self, other: ArrayLike) -> Tensor:
        return autograd.matmul(other, self)

    # comparisons, as plain arrays: they are locally constant
    def __lt__(self, other: ArrayLike) -> Array:
        return operator.lt(*meet("<", self, other)[2:])

    def __le__(self, other: ArrayLike) -> Array:
        return operator.le(*meet("<=", self, other)[2:])

    def __gt__(self, other: ArrayLike) -> Array:
        return operator.gt(*meet(">", self, other)[2:])

    def __ge__(self, other: ArrayLike) -> Array:
        return operator.ge(*meet(">=", self, other)[2:])

    # --- shapes, sums and slices: methods for functions of this package ---

    @property
    def T(self) -> Tensor:
        return autograd.transpose(self)

    def transpose(self, *axes: Any) -> Tensor:
        return autograd.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def reshape(self, *shape: Any) -> Tensor:
        return autograd.reshape(self, shape[0] if len(shape) == 1 else shape)

    def ravel(self) -> Tensor:
        return autograd.reshape(self, -1)

    flatten = ravel

    def squeeze(self, axis: Axis = None) -> Tensor:
        return autograd.squeeze(self, axis)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return autograd.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return autograd.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        return autograd.var(self, axis, keepdims, ddof)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        return autograd.std(self, axis, keepdims, ddof)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return autograd.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return autograd.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> Any:
        return self._data.argmax(axis)

    def argmin(self, axis: int | None = None) -> Any:
        return self._data.argmin(axis)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        return autograd.clip(self, low, high)

    def dot(self, other: ArrayLike) -> Tensor:
        return autograd.dot(self, other)

    def copy(self) -> Tensor:
        return record(self._data.copy(), (self, lambda g, _: g))

    def astype(self, dtype: Any) -> Tensor:
        """The same values in another dtype; gradients are converted back."""
        data = self._data.astype(dtype)
        return record(data, (self, lambda g, _: g)) if data.dtype.kind == "f" else constant(data)

    def __getitem__(self, index: Any) -> Tensor:
        """z = x[i];  x̄ = 0, then x̄[i] += z̄  (indices may repeat)"""
        index, x = _arrays(index, self.shape), self
        return record(x._data[index], (x, lambda g, _: autograd.shaping.put(g, index, x.shape)))

    def __setitem__(self, index: Any, value: ArrayLike) -> None:
        if self._inputs or (self.requires_grad and recording.get()):
            raise TypeError("x[i] = v: gradients are recorded; use where(mask, v, x) or no_grad()")
        self._data[_arrays(index, self.shape)] = Tensor(value)._data
        self._version += 1


def record(data: Array, *inputs: tuple[Any, Vjp]) -> Tensor:
    """`data` as a Tensor computed from `inputs`, which are pairs (input, vjp).

    `vjp(g, z)`, written in Tensor operations, maps the cotangent `g` of this tensor `z` to the
    input's; `grad` undoes broadcasting. Inputs that are not Tensors are constants.
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
    out._data = data if isinstance(data, xp.ndarray) else xp.asarray(data)  # sums are scalars
    out._inputs, out._version, out._cut = (), 0, False
    out.grad, out.name, out.requires_grad = None, None, False
    return out


def as_tensor(x: ArrayLike) -> Tensor:
    """`x` itself if it is a Tensor; otherwise a constant that shares its memory."""
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, (xp.ndarray, np.generic)):
        if hasattr(x, "__array_interface__") or hasattr(x, "__cuda_array_interface__"):
            mixed = f"a {type(x).__module__} array can't be mixed with {backend.name} tensors"
            raise TypeError(f"{mixed}; move it with Tensor(array)")
    backend.in_use = True
    return constant(xp.asarray(_real(x)))


def _real(x: Any) -> Any:
    """x as an array of real numbers; arrays and NumPy scalars are unchanged."""
    if isinstance(x, (list, tuple)) and any(isinstance(item, Tensor) for item in x):
        raise TypeError("a list of tensors would lose their gradients; join them with stack(list)")
    array = x if hasattr(x, "dtype") else np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected real numbers, got {type(x).__name__} of dtype {array.dtype}")
    return array


def as_float(x: ArrayLike) -> Tensor:
    """`as_tensor(x)`, with integers as float64."""
    x = as_tensor(x)
    return x if x._data.dtype.kind == "f" else constant(x._data.astype(np.float64))


def as_alike(name: str, *xs: ArrayLike) -> list[Tensor]:
    """All as Tensors of one dtype: the float dtype of the Tensors, otherwise that of the arrays."""
    tensors = [as_tensor(x) for x in xs]
    if len({x._data.dtype for x in tensors}) < 2:
        return tensors
    floats = {x._data.dtype for x in xs if isinstance(x, Tensor) and x._data.dtype.kind == "f"}
    floats = floats or {x._data.dtype for x in tensors if x._data.dtype.kind == "f"}
    if len(floats) > 1:
        dtypes = " and ".join(sorted(map(str, floats)))
        raise TypeError(f"{name}: dtypes differ, {dtypes}; convert with .astype")
    for dtype in floats:  # at most one
        tensors = [x if x._data.dtype == dtype else x.astype(dtype) for x in tensors]
    return tensors


def meet(name: str, x: ArrayLike, y: ArrayLike) -> tuple[Any, Any, Any, Any]:
    """Two operands of one dtype, and their arrays. A number stays a Python number."""
    if isinstance(x, Tensor) and isinstance(y, Tensor) and x._data.dtype == y._data.dtype:
        return x, y, x._data, y._data
    if isinstance(y, (int, float, np.generic)):
        if isinstance(y, np.generic):
            y = float(y) if _real(y).dtype.kind == "f" else y.item()
        x = as_tensor(x)
        return x, y, x._data, y
    if isinstance(x, (int, float, np.generic)):
        y, x, b, a = meet(name, y, x)
        return x, y, a, b
    x, y = as_alike(name, x, y)
    return x, y, x._data, y._data


def _arrays(index: Any, shape: Shape) -> tuple[Any, ...]:
    """An index into `shape` with its Tensors and sequences as arrays, on the device."""
    parts = [index] if not isinstance(index, tuple) else list(index)
    for k, i in enumerate(parts):
        i = i._data if isinstance(i, Tensor) else i
        parts[k] = np.asarray(i, None if i else int) if isinstance(i, (list, tuple, range)) else i
    if not backend.on_cpu and any(isinstance(i, np.ndarray) for i in parts):
        host = tuple(to_numpy(i) if isinstance(i, xp.ndarray) else i for i in parts)
        np.broadcast_to(np.empty((), bool), shape)[host]  # IndexError; a GPU would silently wrap
        parts = [xp.asarray(i) if isinstance(i, np.ndarray) else i for i in parts]
    return tuple(parts)
