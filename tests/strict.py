"""A stand-in for CuPy where there is no GPU: NumPy's interface, minus all that CuPy refuses.

`TINYGEN_BACKEND=strict pytest` runs every test on it, so that code which would fail on a GPU fails
here: a silent conversion to NumPy, an array that meets a NumPy array, a name or a keyword that
CuPy lacks. What CuPy does without a word, and differently from NumPy, it does too: reductions give
arrays, integers in an index array wrap around, some calls wait for the device (they are counted).

In three places it refuses what CuPy allows, because it is slow or undefined there: iteration over
an array, an index that is a list or a NumPy array, an assignment that stores into one cell twice.

Reading order: `ndarray`, then how NumPy's functions are wrapped, then the list of their names.
"""

import builtins
import contextlib
import functools
import operator
import sys
import types

import numpy as np

__version__ = np.__version__
synchronisations = 0  # how often the host has waited for the device


@contextlib.contextmanager
def count_synchronisations():
    """`with count_synchronisations() as count: …`, then `count()` is how many there have been."""
    before = synchronisations
    yield lambda: synchronisations - before


def _synchronise():
    global synchronisations
    synchronisations += 1


# Beware: at the end this module's `any`, `sum`, `bool` … become NumPy's, hence `builtins.any`.


class ndarray:
    """An array on a device that does not exist. `_host` is never handed out, `get()` copies."""

    __slots__ = ("_host",)
    __hash__ = None
    __iter__ = None  # CuPy can, with one copy from the device for each entry that is looked at

    def __init__(self, shape, dtype=float):
        self._host = np.empty(shape, dtype)

    @property
    def flags(self):
        known = ("c_contiguous", "f_contiguous")
        return types.SimpleNamespace(**{name: getattr(self._host.flags, name) for name in known})

    def clip(self, min=None, max=None, out=None):  # the function does not know these two by name
        return clip(self, min, max, out=out)  # noqa: F821

    # --- to the host: explicit, and counted ---

    def get(self):
        _synchronise()
        return self._host.copy()

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    # --- NumPy's functions, called with one of these ---

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        function = globals().get(ufunc.__name__) if method == "__call__" else None
        return function(*inputs, **keywords) if function else NotImplemented

    def __array_function__(self, function, kinds, inputs, keywords):
        path = [*function.__module__.split(".")[1:], function.__name__]
        try:
            ours = functools.reduce(getattr, path, sys.modules[__name__])
        except AttributeError:
            return NotImplemented
        return ours(*inputs, **keywords)

    # --- entries ---

    def __len__(self):
        return len(self._host)

    def __getitem__(self, index):
        parts = _located(index, self.shape)
        if builtins.any(_is_array(p, "b") for p in parts):
            _synchronise()  # a mask's True entries must be counted before there can be a result
        return _device(self._host[parts])

    def __setitem__(self, index, value):
        if isinstance(value, (np.ndarray, list, tuple)):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        parts = _located(index, self.shape)
        if builtins.any(_is_array(p, "iu") for p in parts) and np.size(_host(value)) > 1:
            cells = np.arange(self.size).reshape(self.shape)[parts]
            if np.unique(cells).size < cells.size:
                raise ValueError("one cell is stored into twice: what it holds then is undefined")
        self._host[parts] = _host(value)


def _is_array(part, kinds):
    return isinstance(part, np.ndarray) and part.dtype.kind in kinds


def _located(index, shape):
    """The index for NumPy, with `...` at its end, so that the result is an array and not a scalar.

    Integers in arrays wrap around where they are out of range, as they do on a GPU.
    """
    parts = [
        p._host if isinstance(p, ndarray) else _no_host_array(p)
        for p in (index if isinstance(index, tuple) else (index,))
    ]
    if not builtins.any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    taken = [0 if p is None or p is Ellipsis else p.ndim if _is_array(p, "b") else 1 for p in parts]
    hidden, axis = len(shape) - builtins.sum(taken), 0
    for i, part in enumerate(parts):
        if _is_array(part, "iu") and axis < len(shape) and shape[axis]:
            parts[i] = part.astype(np.int64) % shape[axis]
        axis += hidden if part is Ellipsis else taken[i]
    return tuple(parts)


def _no_host_array(part):
    if isinstance(part, (list, np.ndarray)):
        raise TypeError(f"Unsupported type {type(part)} in an index; move it with asarray")
    return part


# --- between the two: a host array never gets in, and never comes out -----------------------------

SCALARS = (int, float, complex, np.generic)  # a bool is an int


def _host(x):
    """What NumPy may compute with: device arrays unwrapped, also those in a list."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(x, (list, tuple)):
        ours = [isinstance(each, ndarray) for each in x]
        if builtins.any(ours) and not builtins.all(ours):
            raise TypeError("Only cupy arrays can be concatenated")
        return type(x)(map(_host, x))
    return x


def _device(x):
    """What NumPy computed, its arrays wrapped. NumPy's scalars become arrays without axes."""
    if isinstance(x, (np.ndarray, np.generic)):
        array = ndarray.__new__(ndarray)
        array._host = np.asarray(x)
        return array
    if isinstance(x, (tuple, list)):
        return (list if isinstance(x, list) else tuple)(map(_device, x))
    return x


SHAPERS = {
    "astype",
    "broadcast_to",
    "copy",
    "expand_dims",
    "flatten",
    "moveaxis",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
    "view",
}
MAKERS = {"arange", "empty", "eye", "identity", "indices", "ones", "tri", "zeros"}
NO_ARRAY_NEEDED = {
    *MAKERS,
    "broadcast_shapes",
    "isdtype",
    "isscalar",
    "issubdtype",
    "linspace",
    "ndim",
    "promote_types",
    "result_type",
    "shape",
    "size",
    "tril_indices",
    "triu_indices",
}
WAITS = {"argwhere", "flatnonzero", "nonzero", "unique"}  # their results' shapes depend on values
ANSWERS = {"allclose", "array_equal", "count_nonzero"}  # a Python number in NumPy, an array here
REFUSED = {
    "correction",
    "device",
    "initial",
    "like",
    "mean",
    "stable",
    "subok",
    "where",
    "writeable",
}
REFUSED_BY = {
    "argpartition": {"kind", "order"},
    "argsort": {"order"},
    "clip": {"max", "min"},
    "count_nonzero": {"keepdims"},
    "einsum": {"out"},
    "indices": {"sparse"},
    "isin": {"kind"},
    "partition": {"kind", "order"},
    "percentile": {"weights"},
    "quantile": {"weights"},
    "sort": {"order"},
    "take": {"mode"},
    "unique": {"sorted"},
}


def _wrapped(name, function):
    """A function or method of NumPy's that takes and gives device arrays, and refuses the rest."""
    refused = REFUSED | REFUSED_BY.get(name, set())
    is_ufunc, fixed = isinstance(function, np.ufunc), {"mode": "wrap"} if name == "take" else {}

    def call(*inputs, **keywords):
        for keyword in keywords:
            if keyword in refused or (is_ufunc and keyword not in {"out", "dtype", "casting"}):
                raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}")
        if is_ufunc:
            for x in inputs:
                if x is not None and not isinstance(x, (ndarray, *SCALARS)):
                    raise TypeError(f"Unsupported type {type(x)}")
        elif name not in NO_ARRAY_NEEDED:
            flat = [y for x in inputs for y in (x if isinstance(x, (list, tuple)) else [x])]
            if not builtins.any(isinstance(x, ndarray) for x in flat):
                _host(inputs)
                raise TypeError(f"{name}: Unsupported type {type(inputs[0] if inputs else None)}")
        if name in WAITS:
            _synchronise()
        out = keywords.get("out")
        out = out[0] if isinstance(out, tuple) else out
        first = 0 if name in MAKERS else 1 if name in SHAPERS else len(inputs)
        host = [_host(x) for x in inputs[:first]] + list(inputs[first:])
        result = function(*host, **{k: _host(v) for k, v in keywords.items()}, **fixed)
        if out is not None:
            return out
        return _device(np.asarray(result) if name in ANSWERS else result)

    call.__name__ = call.__qualname__ = name
    return call


def _scatter(ufunc):
    def at(x, index, value):
        if x.dtype.char not in "efdilqILQ":
            raise TypeError(f"{ufunc.__name__}.at does not support {x.dtype}")
        ufunc.at(x._host, _located(index, x.shape), _host(value))

    return at


# --- what an array can do -------------------------------------------------------------------------


def _operator(function, swap=False):
    def apply(self, other):
        if isinstance(other, np.ndarray):
            raise TypeError(f"Unsupported type {np.ndarray}")
        if not isinstance(other, (ndarray, *SCALARS)):
            return NotImplemented
        a, b = _host(self), _host(other)
        return _device(function(b, a) if swap else function(a, b))

    return apply


def _in_place(function):
    def apply(self, other):
        if not isinstance(other, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(other)}")
        self._host = function(self._host, _host(other))
        return self

    return apply


def _give(names, make, spelt="__{}__"):
    for name in names.split():
        setattr(ndarray, spelt.format(name), make(name))


ARITHMETIC = "add sub mul truediv floordiv mod pow and or xor lshift rshift"
_give(ARITHMETIC + " matmul", lambda name: _operator(getattr(operator, f"__{name}__")))
_give(
    ARITHMETIC + " matmul",
    lambda name: _operator(getattr(operator, f"__{name}__"), swap=True),
    "__r{}__",
)
# there is no __imatmul__, so `x @= y` makes a new array
_give(ARITHMETIC, lambda name: _in_place(getattr(operator, f"__i{name}__")), "__i{}__")
_give("lt le gt ge eq ne", lambda name: _operator(getattr(operator, name)))
_give("neg pos abs invert", lambda name: lambda x: _device(getattr(operator, name)(x._host)))
_give(
    "bool int float complex repr str format",
    lambda name: lambda x, *spec: getattr(builtins, name)(x.get(), *spec),
)
_give("item tobytes tolist", lambda name: lambda x: getattr(x.get(), name)(), "{}")
_give(
    "T dtype imag itemsize mT nbytes ndim real shape size strides",
    lambda name: property(lambda x: _device(getattr(x._host, name))),
    "{}",
)
_give(
    "all any argmax argmin argsort astype copy cumprod cumsum diagonal dot fill flatten max mean "
    "min nonzero prod ravel repeat reshape round searchsorted sort squeeze std sum swapaxes take "
    "trace transpose var view",
    lambda name: _wrapped(name, getattr(np.ndarray, name)),
    "{}",
)


# --- the module's functions -----------------------------------------------------------------------


def array(obj, dtype=None, copy=True, order="K", ndmin=0):
    """A copy on the device, of an array there or on the host, a list, or a number."""
    if isinstance(obj, (list, tuple)) and obj and builtins.all(isinstance(x, ndarray) for x in obj):
        obj = stack(obj)  # noqa: F821
    source = obj._host if isinstance(obj, ndarray) else obj
    moved = np.array(source, dtype, copy=copy or source is obj or None, order=order, ndmin=ndmin)
    if moved.dtype.char not in "?bhilqBHILQefdFD":
        raise ValueError(f"Unsupported dtype {moved.dtype}")
    return obj if moved is source else _device(moved)


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    """The same, but an array on the device is itself if nothing about it needs to change."""
    return array(a, dtype, bool(copy), order or "K")


def full(shape, fill_value, dtype=None, order="C"):
    value = _host(fill_value)
    return _device(np.full(shape, value, dtype or np.asarray(value).dtype, order))


def fuse(*names, **keywords):
    """A decorator. CuPy's makes one kernel of a formula, if it is called with any device array."""

    def decorate(formula):
        name = keywords.get("kernel_name", formula.__name__)
        if not name.isidentifier():  # a lambda's is not
            raise ValueError(f"Invalid kernel name: {name!r}")

        @functools.wraps(formula)
        def kernel(*inputs):
            if builtins.any(isinstance(x, ndarray) for x in inputs):
                for x in inputs:
                    if not (x is None or isinstance(x, (ndarray, *SCALARS))):
                        raise TypeError(f"Invalid argument type for {kernel.__name__!r}: {type(x)}")
            return formula(*inputs)

        return kernel

    return decorate


# the functions, types and constants that NumPy and CuPy 14 share, and a library might use
NAMES = """
abs absolute add all allclose any arange arccos arcsin arcsinh arctan arctan2 arctanh argmax argmin
argpartition argsort argwhere array_equal ascontiguousarray astype average bincount bitwise_and
bitwise_not bitwise_or bitwise_xor bool bool_ broadcast_arrays broadcast_shapes broadcast_to ceil
clip concat concatenate copy copysign cos cosh count_nonzero cov cumprod cumsum diag diagonal diff
divide divmod dot dtype e einsum empty empty_like equal euler_gamma exp exp2 expand_dims expm1 eye
fill_diagonal finfo flatnonzero flip float16 float32 float64 floating floor floor_divide fmax fmin
full_like gradient greater greater_equal histogram hstack hypot identity iinfo indices inf inner
int16 int32 int64 int8 isclose isdtype isfinite isin isinf isnan isscalar issubdtype kron less
less_equal linspace log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
logical_xor matmul matrix_transpose max maximum may_share_memory mean median
meshgrid min minimum mod moveaxis
multiply nan nan_to_num ndim negative newaxis nonzero not_equal ones ones_like outer pad partition
percentile pi pow power prod promote_types put_along_axis quantile ravel reciprocal repeat reshape
result_type roll round searchsorted shape sign signbit sin sinh size sort split sqrt square squeeze
stack std subtract sum swapaxes take take_along_axis tan tanh tensordot tile trace transpose tri
tril tril_indices triu triu_indices trunc uint16 uint32 uint64 uint8 unique unravel_index var vstack
where zeros zeros_like
"""
LINALG = """cholesky cond cross det eig eigh eigvals eigvalsh inv lstsq matmul matrix_power
matrix_rank matrix_transpose norm pinv qr slogdet solve svd tensorinv tensorsolve"""
STRIDE_TRICKS = "as_strided sliding_window_view"


def _namespace(module, names):
    found = {name: getattr(module, name) for name in names.split() if hasattr(module, name)}
    return {
        name: each if isinstance(each, type) or not callable(each) else _wrapped(name, each)
        for name, each in found.items()
    }


linalg = types.SimpleNamespace(**_namespace(np.linalg, LINALG), LinAlgError=np.linalg.LinAlgError)
lib = types.SimpleNamespace(
    stride_tricks=types.SimpleNamespace(**_namespace(np.lib.stride_tricks, STRIDE_TRICKS))
)
globals().update(_namespace(np, NAMES))
for _ufunc in (np.add, np.subtract, np.maximum, np.minimum):
    globals()[_ufunc.__name__].at = _scatter(_ufunc)
