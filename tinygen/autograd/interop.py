"""What NumPy's own functions do with a Tensor: `np.exp(x)` is `tinygen.exp(x)`, recorded.

NumPy passes ufunc calls, such as `np.exp(x)`, to `__array_ufunc__`, and other calls, such as
`np.mean(x)`, to `__array_function__`. Piecewise constant functions, such as `np.argmax`, get plain
arrays, and so does every function if no argument requires gradients. The rest are errors, rather
than a gradient lost without notice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygen import autograd
from tinygen.autograd.backend import to_numpy

OPERATORS = {
    "add": "__add__ __radd__",
    "subtract": "__sub__ __rsub__",
    "multiply": "__mul__ __rmul__",
    "divide": "__truediv__ __rtruediv__",
    "power": "__pow__ __rpow__",
    "matmul": "__matmul__ __rmatmul__",
    "negative": "__neg__",
    "absolute": "__abs__",
}
RENAMED = {"concatenate": "concat", "amax": "max", "amin": "min"}
DIFFERENTIABLE = """broadcast_to clip concat cos cumsum dot einsum exp expm1 flip log log1p max
maximum mean min minimum ones_like pad reshape sin split sqrt squeeze stack std sum swapaxes take
tanh transpose var where zeros_like""".split()
PIECEWISE_CONSTANT = """all allclose any argmax argmin argpartition argsort argwhere around
array2string array_equal array_repr array_str ceil count_nonzero digitize equal fix flatnonzero
floor greater greater_equal isclose iscomplex iscomplexobj isfinite isinf isnan isreal isrealobj
less less_equal logical_and logical_not logical_or ndim nonzero not_equal result_type rint round
searchsorted shape sign signbit size trunc""".split()


def array_function(self: Any, f: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """What NumPy calls for `f(*args, **kwargs)` with a Tensor among the arguments."""
    return _call(f"{f.__module__}.{f.__name__}".replace("numpy.", "np."), f, args, kwargs)


def array_ufunc(self: Any, f: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """What NumPy calls for a ufunc: `f(*args)`, or `f.reduce(*args)` and the like."""
    if method != "__call__":
        return _call(f"np.{f.__name__}.{method}", getattr(f, method), args, kwargs)
    if not kwargs and f.__name__ in OPERATORS:
        direct, *reflected = OPERATORS[f.__name__].split()
        if isinstance(args[0], autograd.Tensor):
            return getattr(args[0], direct)(*args[1:])
        return getattr(args[1], reflected[0])(args[0])
    return _call(f"np.{f.__name__}", f, args, kwargs)


def _call(title: str, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    name = title.removeprefix("np.")
    name = RENAMED.get(name, name)
    if name in DIFFERENTIABLE and "out" not in kwargs:
        return getattr(autograd, name)(*args, **kwargs)
    tensors: list[Any] = []
    args, kwargs = _arrays(args, tensors), _arrays(kwargs, tensors)
    if name not in PIECEWISE_CONSTANT and any(x.requires_grad for x in tensors):
        raise TypeError(
            f"{title} would lose the gradient: write it with tinygen's functions and without "
            "`out`, or take x.numpy() for the values"
        )
    if name.endswith(".at"):
        raise TypeError(f"{title} would change a Tensor in place: use x.data")
    return f(*args, **kwargs)


class _NumPyOnly:
    """CuPy asks an instance for `__array_ufunc__`, and leaves operators to it if that is None."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        return array_ufunc if instance is None else None


UFUNC = _NumPyOnly()


def _arrays(x: Any, tensors: list[Any]) -> Any:
    """x with read-only arrays for Tensors, which are appended to `tensors`."""
    if isinstance(x, autograd.Tensor):
        tensors.append(x)
        array = to_numpy(x.data).view()
        array.flags.writeable = False
        return array
    if isinstance(x, dict):
        return {k: _arrays(v, tensors) for k, v in x.items()}
    return type(x)(_arrays(v, tensors) for v in x) if type(x) in (list, tuple) else x
