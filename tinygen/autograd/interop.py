"""What NumPy's own functions do with a Tensor: `np.exp(x)` is `tinygen.exp(x)`, recorded.

NumPy hands each call over: of its ufuncs, such as `np.exp`, through `__array_ufunc__`, of others,
such as `np.mean`, through `__array_function__`. Functions without a derivative, such as
`np.argmax`, get plain arrays, and so do all others where no gradient can be lost. The rest are
errors: a silently lost gradient would be worse.
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
HERE = """broadcast_to clip concat cos cumsum dot einsum exp expm1 flip log log1p max maximum mean
min minimum ones_like pad reshape sin split sqrt squeeze stack std sum swapaxes take tanh transpose
var where zeros_like""".split()
# piecewise constant: their derivative is 0
PLAIN = """all allclose any argmax argmin argpartition argsort array2string array_equal array_repr
array_str ceil count_nonzero digitize equal floor greater greater_equal histogram isclose isfinite
isinf isnan less less_equal logical_and logical_not logical_or ndim nonzero not_equal
result_type rint round searchsorted shape sign signbit size trunc""".split()


def array_function(self: Any, f: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """What NumPy calls for `f(*args, **kwargs)` with a Tensor among the arguments."""
    name = RENAMED.get(f.__name__, f.__name__)
    if name in HERE:
        return getattr(autograd, name)(*args, **kwargs)
    found: list[Any] = []
    args, kwargs = _plain(args, found), _plain(kwargs, found)
    if f.__name__ not in PLAIN and any(x.requires_grad for x in found):
        raise TypeError(
            f"np.{f.__name__} would lose the gradient, and tinygen has no {f.__name__}: "
            "write it with other functions, or take x.numpy() for the values"
        )
    return f(*args, **kwargs)


def array_ufunc(self: Any, f: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """What NumPy calls for a ufunc: `f(*args)`, or `f.reduce(*args)` and the like."""
    if method == "__call__" and not kwargs and f.__name__ in OPERATORS:
        direct, *reflected = OPERATORS[f.__name__].split()
        if isinstance(args[0], autograd.Tensor):
            return getattr(args[0], direct)(*args[1:])
        return getattr(args[1], reflected[0])(args[0])
    return array_function(self, f if method == "__call__" else getattr(f, method), (), args, kwargs)


class _ForNumPyAlone:
    """CuPy asks an instance for `__array_ufunc__`, and leaves operators to it if that is None."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        return array_ufunc if instance is None else None


UFUNC = _ForNumPyAlone()


def _plain(x: Any, found: list[Any]) -> Any:
    """x with arrays for Tensors, which are appended to `found`."""
    if isinstance(x, autograd.Tensor):
        found.append(x)
        return to_numpy(x.data)
    if isinstance(x, dict):
        return {k: _plain(v, found) for k, v in x.items()}
    return type(x)(_plain(v, found) for v in x) if type(x) in (list, tuple) else x
