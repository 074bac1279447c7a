"""Functions that take an axis away, or weigh its entries against each other.

`sum` and `mean` are in tensor.py, because undoing a broadcast needs them. Here are the rest: var,
max, min, logsumexp, softmax, log_softmax. Keywords are NumPy's: `axis` is an int, a tuple or None
for all, `keepdims` leaves a reduced axis with length 1.
"""

from __future__ import annotations

from typing import Any

from tinygen.backend import Array, xp
from tinygen.ops import exp
from tinygen.tensor import (
    Axis,
    Tensor,
    as_float,
    as_tensor,
    count_over,
    kept_shape,
    mean,
    record,
    reshape,
    sum,
)

__all__ = ["log_softmax", "logsumexp", "max", "mean", "min", "softmax", "sum", "var"]


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """z = Σ (x − mean x)² / (n − ddof);  x̄ = 2 z̄ (x − mean x) / (n − ddof)"""
    x = as_float(x)
    kept = kept_shape(x.shape, axis)
    n = count_over("var", x.shape, axis) - ddof
    m = mean(x, axis, keepdims=True)
    if n <= 0:
        raise ValueError(f"var: {n + ddof} entries leave nothing to divide by with ddof={ddof}")
    data = xp.square(x.data - m.data).sum(axis=axis, keepdims=keepdims) / n

    def vjp(g: Tensor, _: Tensor) -> Tensor:
        scale: float = 2 / n
        centred: Tensor = x - mean(x, axis, keepdims=True)
        return reshape(g, kept) * scale * centred

    return record(data, (x, vjp))


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = max x;  the largest entry gets z̄, equal ones share it"""
    return _extreme("max", x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = min x;  the smallest entry gets z̄, equal ones share it"""
    return _extreme("min", x, axis, keepdims)


def _extreme(name: str, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    kept = kept_shape(x.shape, axis)
    count_over(name, x.shape, axis)
    z = (x.data.max if name == "max" else x.data.min)(axis=axis, keepdims=keepdims)

    def vjp(g: Tensor, _: Tensor) -> Tensor:
        chosen = x.data == z.reshape(kept)
        share = as_tensor(chosen / chosen.sum(axis=axis, keepdims=True)).astype(x.dtype)
        return reshape(g, kept) * share

    return record(z, (x, vjp))


def _exp_shifted(name: str, x: Array, axis: Axis) -> tuple[Array, Array]:
    """(e^{x−m}, m) with m = max x, so that nothing overflows and one term is 1."""
    count_over(name, x.shape, axis)
    m = x.max(axis=axis, keepdims=True)
    return xp.exp(x - m), m


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = log Σ eˣ;  x̄ = z̄ ⊙ softmax(x)"""
    x = as_float(x)
    kept = kept_shape(x.shape, axis)
    e, m = _exp_shifted("logsumexp", x.data, axis)
    data = m + xp.log(e.sum(axis=axis, keepdims=True))
    shape = data.shape if keepdims else data.squeeze(axis).shape
    return record(data.reshape(shape), (x, lambda g, _: reshape(g, kept) * softmax(x, axis)))


def softmax(x: Any, axis: Axis = -1) -> Tensor:
    """z = eˣ / Σ eˣ;  x̄ = z ⊙ (z̄ − Σ z̄ ⊙ z)"""
    x = as_float(x)
    e, _ = _exp_shifted("softmax", x.data, axis)
    z = e / e.sum(axis=axis, keepdims=True)
    return record(z, (x, lambda g, z: z * (g - sum(g * z, axis, keepdims=True))))


def log_softmax(x: Any, axis: Axis = -1) -> Tensor:
    """z = x − log Σ eˣ;  x̄ = z̄ − eᶻ Σ z̄"""
    x = as_float(x)
    e, m = _exp_shifted("log_softmax", x.data, axis)
    z = (x.data - m) - xp.log(e.sum(axis=axis, keepdims=True))
    return record(z, (x, lambda g, z: g - exp(z) * sum(g, axis, keepdims=True)))
