r"""Functions of a tensor: exp, tanh, relu, sums, softmax and their kin.

Each is an equation and its gradient; `z̄` is the output's cotangent, `g` in the code. A vjp that
calls these functions on Tensors can be differentiated again, so each is right to any order.

Sigmoid and softplus would overflow when written as in the textbook. They take the exponential of
bounded numbers; they and their gradients are finite and true from −1000 to 1000.

Keywords of the reductions are NumPy's: `axis` is an int, a tuple or None for all axes, `keepdims`
leaves a reduced axis with length 1.

Reading order: one element at a time (exponentials, trigonometry, the sigmoid family, the
rectifiers, choosing); then the reductions (sum, mean, var, max, logsumexp, softmax).
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tinygen._types import Array, Shape
from tinygen.autograd import parallel
from tinygen.autograd.backend import xp
from tinygen.autograd.graph import is_recording
from tinygen.autograd.parallel import fused
from tinygen.autograd.shaping import broadcast_to, reshape
from tinygen.autograd.tensor import Axis, Tensor, apply, as_float, as_tensor, meet_either, record

__all__ = [
    "abs",
    "clip",
    "cos",
    "elu",
    "erf",
    "exp",
    "expm1",
    "gelu",
    "leaky_relu",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "relu",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "sum",
    "tanh",
    "var",
    "where",
]


LARGE = 88  # e⁸⁸ is finite in float32, and e⁻⁸⁸ is nothing beside 1


# --- exponentials and roots -----------------------------------------------------------------------


def exp(x: Any) -> Tensor:
    """z = eˣ;  x̄ = z̄ ⊙ z"""
    x = as_float(x)
    return record(xp.exp(x.data), (x, lambda g, z: g * z))


def log(x: Any) -> Tensor:
    """z = log x;  x̄ = z̄ / x"""
    x = as_float(x)
    return record(xp.log(x._data), (x, lambda g, _: g / x))


def expm1(x: Any) -> Tensor:
    """z = eˣ − 1, exact for small x;  x̄ = z̄ ⊙ eˣ"""
    x = as_float(x)
    return record(xp.expm1(x.data), (x, lambda g, _: g * exp(x)))


def log1p(x: Any) -> Tensor:
    """z = log(1 + x), exact for small x;  x̄ = z̄ / (1 + x)"""
    x = as_float(x)
    return record(xp.log1p(x.data), (x, lambda g, _: g / (1 + x)))


def sqrt(x: Any) -> Tensor:
    """z = √x;  x̄ = z̄ / 2z"""
    x = as_float(x)
    return record(xp.sqrt(x.data), (x, lambda g, z: g / (2 * z)))


def abs(x: Any) -> Tensor:
    """z = |x|;  x̄ = z̄ ⊙ sign x"""
    return as_tensor(x).__abs__()


# --- trigonometry ---------------------------------------------------------------------------------


def sin(x: Any) -> Tensor:
    """z = sin x;  x̄ = z̄ ⊙ cos x"""
    x = as_float(x)
    return record(xp.sin(x.data), (x, lambda g, _: g * cos(x)))


def cos(x: Any) -> Tensor:
    """z = cos x;  x̄ = −z̄ ⊙ sin x"""
    x = as_float(x)
    return record(xp.cos(x.data), (x, lambda g, _: -(g * sin(x))))


def tanh(x: Any) -> Tensor:
    """z = tanh x;  x̄ = z̄ ⊙ (1 − z²)"""
    x = as_float(x)
    return record(xp.tanh(x.data), (x, lambda g, z: g * (1 - z * z)))


# --- the sigmoid family ---------------------------------------------------------------------------


@fused
def _sigmoid(x: Array) -> Array:
    e = xp.exp(xp.clip(x, -LARGE, LARGE))
    return e / (1 + e)


def sigmoid(x: Any) -> Tensor:
    """z = σ(x) = 1 / (1 + e⁻ˣ);  x̄ = z̄ ⊙ σ(x) σ(−x)"""
    x = as_float(x)
    return record(_sigmoid(x.data), (x, lambda g, z: g * z * sigmoid(-x)))


@fused
def _softplus(x: Array) -> Array:
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def softplus(x: Any) -> Tensor:
    """z = log(1 + eˣ);  x̄ = z̄ ⊙ σ(x)"""
    x = as_float(x)
    return record(_softplus(x.data), (x, lambda g, _: g * sigmoid(x)))


@fused
def _silu(x: Array) -> Array:
    return x / (1 + xp.exp(-x))


@fused
def _silu_vjp(g: Array, x: Array) -> Array:
    s = 1 / (1 + xp.exp(-x))
    return g * s * (1 + x * (1 - s))


def silu(x: Any) -> Tensor:
    """z = x ⊙ σ(x);  x̄ = z̄ ⊙ σ(x) (1 + x (1 − σ(x)))"""
    x = as_float(x)

    def vjp(g: Tensor, _: Tensor) -> Tensor:
        if not is_recording():
            with np.errstate(over="ignore"):
                return as_tensor(_silu_vjp(g.data, x.data))  # the same, in one pass over memory
        s = sigmoid(x)
        slope: Tensor = s * (1 + x * (1 - s))
        return g * slope

    with np.errstate(over="ignore"):  # e⁻ˣ is infinite for x < −88 in float32, and z rightly 0
        return record(_silu(x.data), (x, vjp))


_TERMS = 120  # what the series of erf needs for 16 digits at x = 6, beyond which erf is 1


@fused
def _erf(x: Array) -> Array:
    # erf x = 2/√π e^{−x²} Σₙ 2ⁿ x²ⁿ⁺¹ / (1·3·5 … (2n+1)): all terms of one sign, nothing cancels
    y = xp.minimum(xp.maximum(x.astype("f8"), -6), 6)
    t = 2 * y * y
    series = 1 + t * (1 / (2 * _TERMS + 1))
    for n in range(_TERMS - 1, 0, -1):
        series = 1 + t * series * (1 / (2 * n + 1))
    z = 2 / math.sqrt(math.pi) * xp.exp(-y * y) * y * series
    return xp.where(xp.abs(y) < 6, z, xp.sign(y)).astype(x.dtype)


def erf(x: Any) -> Tensor:
    """z = erf x = 2/√π ∫₀ˣ e^{−t²} dt, to 14 digits;  x̄ = z̄ ⊙ 2/√π e^{−x²}"""
    x = as_float(x)
    return record(_erf(x.data), (x, lambda g, _: g * (2 / math.sqrt(math.pi) * exp(-(x * x)))))


def gelu(x: Any) -> Tensor:
    """z = x Φ(x), with Φ the standard normal distribution function;  x̄ = z̄ ⊙ (Φ(x) + x Φ′(x))"""
    tensor = as_float(x)
    Phi = (erf(tensor * math.sqrt(0.5)) + 1) * 0.5
    return tensor * Phi


# --- the rectifiers: straight on either side of 0, where they take the slope of the left ----------


def relu(x: Any) -> Tensor:
    """z = max(x, 0);  x̄ = z̄ where x > 0"""
    x = as_tensor(x)
    return record(xp.maximum(x.data, 0), (x, lambda g, z: g * (z.data > 0)))


@fused
def _leaky(x: Array, slope: float) -> Array:
    return xp.maximum(x, slope * x)


@fused
def _times_slopes(g: Array, x: Array, slope: float) -> Array:
    return g * ((x > 0).astype(g.dtype) * (1 - slope) + slope)


def _leaky_vjp(g: Tensor, x: Array, slope: float) -> Tensor:
    """g where x > 0, else slope · g: linear in g, so its vjp is itself"""
    return record(_times_slopes(g.data, x, slope), (g, lambda h, _: _leaky_vjp(h, x, slope)))


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """z = x where x > 0, else slope · x;  x̄ = z̄ where x > 0, else slope · z̄"""
    x, slope = as_float(x), float(slope)
    if not slope <= 1:  # then max(x, slope · x) is another function
        raise ValueError(f"leaky_relu: expected a `slope` of at most 1, got {slope}")
    return record(_leaky(x.data, slope), (x, lambda g, _: _leaky_vjp(g, x.data, slope)))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """z = x where x > 0, else α (eˣ − 1);  x̄ = z̄ where x > 0, else z̄ ⊙ α eˣ"""
    x, alpha = as_float(x), float(alpha)
    z = xp.maximum(x.data, 0) + alpha * xp.expm1(xp.minimum(x.data, 0))
    return record(z, (x, lambda g, _: where(x.data > 0, g, g * alpha * exp(minimum(x, 0)))))


# --- choosing: the gradient goes to the entry that was chosen -------------------------------------


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """z = x where the condition holds, else y;  x̄ = z̄ where it holds, ȳ = z̄ elsewhere"""
    mask = as_tensor(condition).data
    if mask.dtype.kind != "b":
        raise TypeError(f"where: expected a condition of booleans, got dtype {mask.dtype}")
    x, y, a, b = meet_either("where", x, y)
    try:
        z = xp.where(mask, a, b)
    except ValueError:
        raise ValueError(
            f"where: shapes {mask.shape}, {getattr(a, 'shape', ())} and "
            f"{getattr(b, 'shape', ())} do not broadcast"
        ) from None
    return record(z, (x, lambda g, _: where(mask, g, 0)), (y, lambda g, _: where(mask, 0, g)))


def maximum(x: Any, y: Any) -> Tensor:
    """z = max(x, y) entry by entry;  the larger gets z̄, x where they are equal"""
    x, y, a, b = meet_either("maximum", x, y)
    z = apply(xp.maximum, a, b)
    first = a >= b
    return record(z, (x, lambda g, _: g * first), (y, lambda g, _: g * ~first))


def minimum(x: Any, y: Any) -> Tensor:
    """z = min(x, y) entry by entry;  the smaller gets z̄, x where they are equal"""
    x, y, a, b = meet_either("minimum", x, y)
    z = apply(xp.minimum, a, b)
    first = a <= b
    return record(z, (x, lambda g, _: g * first), (y, lambda g, _: g * ~first))


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """z = x, but at least `low` and at most `high`;  x̄ = z̄ where x lies strictly between"""
    x = as_tensor(x)
    if low is None and high is None:
        raise ValueError("clip: expected `low`, `high` or both, got neither")
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip: `low` {low} is above `high` {high}")
    low, high = (b if b is None else as_tensor(b).item() for b in (low, high))
    inside = xp.ones(x.shape, bool) if low is None else x.data > low
    inside = inside if high is None else inside & (x.data < high)
    return record(xp.clip(x.data, low, high), (x, lambda g, _: g * inside))


# --- reductions -----------------------------------------------------------------------------------


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = Σ x over the axes;  x̄ = z̄ broadcast back"""
    x = as_tensor(x)
    kept, axis = kept_shape(x.shape, axis), tuple(axis) if isinstance(axis, list) else axis
    data = parallel.add_up(x._data, axis, keepdims)
    return record(data, (x, lambda g, _: broadcast_to(reshape(g, kept), x.shape)))


def kept_shape(shape: Shape, axis: Axis) -> Shape:
    """The shape after reducing `axis` with keepdims."""
    if axis is None:
        return (1,) * len(shape)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    for a in map(operator.index, given):
        if not -len(shape) <= a < len(shape):
            raise ValueError(f"axis {a} is out of range for shape {shape}")
    axes = {a % len(shape) for a in given}
    if len(axes) < len(given):
        raise ValueError(f"axis {axis} names an axis twice (shape {shape})")
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = Σ x / n over the axes"""
    x = as_tensor(x)
    return sum(x, axis, keepdims) / count_over("mean", x.shape, axis)


def count_over(name: str, shape: Shape, axis: Axis) -> int:
    """How many entries each result of a reduction is made of, at least one."""
    n = math.prod(a for a, b in zip(shape, kept_shape(shape, axis), strict=True) if a != b)
    if not n:
        raise ValueError(f"{name}: no entries along axis {axis} of shape {shape}")
    return n


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
