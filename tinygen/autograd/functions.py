r"""Elementwise functions, from `exp` to `clip`, and reductions, from `sum` to `log_softmax`.

Each docstring is an equation and its gradient; z̄ is the output's cotangent, `g` in the code.
Exponentials never overflow to a wrong result. `sigmoid`, `softplus` and `silu` keep their digits as
far as e⁻ˣ does, to x = −87 in float32 and −708 in float64; `erf` and `gelu` have 14 digits of 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygen._types import Array, ArrayLike, Shape
from tinygen.autograd import parallel
from tinygen.autograd.backend import xp
from tinygen.autograd.graph import is_recording
from tinygen.autograd.parallel import fused
from tinygen.autograd.shaping import broadcast_to, reshape
from tinygen.autograd.tensor import Axis, Tensor, as_float, as_tensor, meet, record

__all__ = ["abs", "clip", "cos", "cross_entropy", "elu", "erf", "exp", "expm1", "gelu"]
__all__ += ["leaky_relu", "log", "log1p", "log_softmax", "logsumexp", "max", "maximum", "mean"]
__all__ += ["min", "minimum", "relu", "sigmoid", "silu", "sin", "softmax", "softplus", "sqrt"]
__all__ += ["std", "sum", "tanh", "var", "where"]
LARGE = 88  # from here on σ(x) rounds to 1, and e⁸⁸ is finite in float32

# --- exponentials, roots and trigonometry ---------------------------------------------------------


def exp(x: ArrayLike) -> Tensor:
    """z = eˣ;  x̄ = z̄ ⊙ z"""
    x = as_float(x)
    return record(xp.exp(x.data), (x, lambda g, z: g * z))


def log(x: ArrayLike) -> Tensor:
    """z = log x;  x̄ = z̄ / x"""
    x = as_float(x)
    return record(xp.log(x.data), (x, lambda g, _: g / x))


def expm1(x: ArrayLike) -> Tensor:
    """z = eˣ − 1, exact for small x;  x̄ = z̄ ⊙ eˣ"""
    x = as_float(x)
    return record(xp.expm1(x.data), (x, lambda g, _: g * exp(x)))


def log1p(x: ArrayLike) -> Tensor:
    """z = log(1 + x), exact for small x;  x̄ = z̄ / (1 + x)"""
    x = as_float(x)
    return record(xp.log1p(x.data), (x, lambda g, _: g / (1 + x)))


def sqrt(x: ArrayLike) -> Tensor:
    """z = √x;  x̄ = z̄ / 2z"""
    x = as_float(x)
    return record(xp.sqrt(x.data), (x, lambda g, z: g / (2 * z)))


def abs(x: ArrayLike) -> Tensor:
    """z = |x|;  x̄ = z̄ ⊙ sign x"""
    return as_tensor(x).__abs__()


def sin(x: ArrayLike) -> Tensor:
    """z = sin x;  x̄ = z̄ ⊙ cos x"""
    x = as_float(x)
    return record(xp.sin(x.data), (x, lambda g, _: g * cos(x)))


def cos(x: ArrayLike) -> Tensor:
    """z = cos x;  x̄ = −z̄ ⊙ sin x"""
    x = as_float(x)
    return record(xp.cos(x.data), (x, lambda g, _: -(g * sin(x))))


def tanh(x: ArrayLike) -> Tensor:
    """z = tanh x;  x̄ = z̄ ⊙ (1 − z²)"""
    x = as_float(x)
    return record(xp.tanh(x.data), (x, lambda g, z: g * (1 - z * z)))


# --- the sigmoid family ---------------------------------------------------------------------------


@fused
def _sigmoid(x: Array) -> Array:
    e = xp.exp(xp.minimum(x, LARGE))
    return e / (1 + e)


def sigmoid(x: ArrayLike) -> Tensor:
    """z = σ(x) = 1 / (1 + e⁻ˣ);  x̄ = z̄ ⊙ σ(x) σ(−x)"""
    x = as_float(x)
    return record(_sigmoid(x.data), (x, lambda g, z: g * z * sigmoid(-x)))


_softplus = fused(lambda x: xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))))


def softplus(x: ArrayLike) -> Tensor:
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


def silu(x: ArrayLike) -> Tensor:
    """z = x ⊙ σ(x);  x̄ = z̄ ⊙ σ(x) (1 + x (1 − σ(x)))"""
    x = as_float(x)

    def vjp(g: Tensor, _: Tensor) -> Tensor:
        if not is_recording():
            with np.errstate(over="ignore"):
                return as_tensor(_silu_vjp(g.data, x.data))  # the same, in one pass over memory
        s = sigmoid(x)
        return g * (s * (1 + x * (1 - s)))

    with np.errstate(over="ignore"):  # in float32 e⁻ˣ is infinite for x < −88, and z correctly 0
        return record(_silu(x.data), (x, vjp))


_TERMS = 120  # of the series of erf, for 16 digits up to x = 6; beyond that erf is 1


@fused
def _erf(x: Array) -> Array:
    # erf x = 2/√π e^{−x²} Σₙ 2ⁿ x²ⁿ⁺¹ / (1·3·5 … (2n+1)): terms of one sign, so nothing cancels
    y = xp.minimum(xp.maximum(x.astype("f8"), -6), 6)
    t = 2 * y * y
    series = 1 + t * (1 / (2 * _TERMS + 1))
    for n in range(_TERMS - 1, 0, -1):
        series = 1 + t * series * (1 / (2 * n + 1))
    z = 2 / math.sqrt(math.pi) * xp.exp(-y * y) * y * series
    return xp.where(xp.abs(y) < 6, z, xp.sign(y)).astype(x.dtype)


def erf(x: ArrayLike) -> Tensor:
    """z = erf x = 2/√π ∫₀ˣ e^{−t²} dt, to 14 digits;  x̄ = z̄ ⊙ 2/√π e^{−x²}"""
    x = as_float(x)
    return record(_erf(x.data), (x, lambda g, _: g * (2 / math.sqrt(math.pi) * exp(-(x * x)))))


def gelu(x: ArrayLike) -> Tensor:
    """z = x Φ(x), with Φ the standard normal distribution function;  x̄ = z̄ ⊙ (Φ(x) + x Φ′(x))"""
    x = as_float(x)
    Phi = (erf(x * math.sqrt(0.5)) + 1) * 0.5
    return x * Phi


# --- rectifiers: at 0 their derivative is the one from the left -----------------------------------


def relu(x: ArrayLike) -> Tensor:
    """z = max(x, 0);  x̄ = z̄ where x > 0"""
    x = as_tensor(x)
    return record(xp.maximum(x.data, 0), (x, lambda g, z: g * (z.data > 0)))


_leaky = fused(lambda x, slope: xp.maximum(x, slope * x))
_leaky_grad = fused(lambda g, x, slope: g * ((x > 0).astype(g.dtype) * (1 - slope) + slope))


def _leaky_vjp(g: Tensor, x: Array, slope: float) -> Tensor:
    """g where x > 0, else slope · g: linear in g, so its vjp is itself"""
    return record(_leaky_grad(g.data, x, slope), (g, lambda h, _: _leaky_vjp(h, x, slope)))


def leaky_relu(x: ArrayLike, slope: float = 0.01) -> Tensor:
    """z = x where x > 0, else slope · x;  x̄ = z̄ where x > 0, else slope · z̄"""
    x, slope = as_float(x), float(slope)
    if not slope <= 1:  # max(x, slope · x) would be another function
        raise ValueError(f"leaky_relu: expected `slope` ≤ 1, got {slope}")
    return record(_leaky(x.data, slope), (x, lambda g, _: _leaky_vjp(g, x.data, slope)))


def elu(x: ArrayLike, alpha: float = 1.0) -> Tensor:
    """z = x where x > 0, else α (eˣ − 1);  x̄ = z̄ where x > 0, else z̄ ⊙ α eˣ"""
    x = as_float(x)
    return where(x.data > 0, x, alpha * expm1(minimum(x, 0)))


# --- selection: the gradient goes to the selected element -----------------------------------------


def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Tensor:
    """z = x where the condition holds, else y;  x̄ = z̄ where it holds, ȳ = z̄ elsewhere"""
    mask = as_tensor(condition).data
    if mask.dtype.kind != "b":
        raise TypeError(f"where: expected a boolean condition, got dtype {mask.dtype}")
    x, y, a, b = meet("where", x, y)
    z = xp.where(mask, a, b)
    return record(z, (x, lambda g, _: where(mask, g, 0)), (y, lambda g, _: where(mask, 0, g)))


def maximum(x: ArrayLike, y: ArrayLike) -> Tensor:
    """z = max(x, y), elementwise;  the larger gets z̄, x if they are equal"""
    x, y, a, b = meet("maximum", x, y)
    first = a >= b
    return record(xp.maximum(a, b), (x, lambda g, _: g * first), (y, lambda g, _: g * ~first))


def minimum(x: ArrayLike, y: ArrayLike) -> Tensor:
    """z = min(x, y), elementwise;  the smaller gets z̄, x if they are equal"""
    x, y, a, b = meet("minimum", x, y)
    first = a <= b
    return record(xp.minimum(a, b), (x, lambda g, _: g * first), (y, lambda g, _: g * ~first))


def clip(x: ArrayLike, low: float | None = None, high: float | None = None) -> Tensor:
    """z = min(max(x, low), high);  x̄ = z̄ where low < x < high"""
    x = as_tensor(x)
    if any(isinstance(b, Tensor) and b.requires_grad for b in (low, high)):
        raise TypeError("clip: bounds are constants; use maximum and minimum for Tensors")
    low, high = (b if b is None else as_tensor(b).item() for b in (low, high))
    inside = (low is None or x.data > low) & (high is None or x.data < high)
    return record(xp.clip(x.data, low, high), (x, lambda g, _: g * inside))


# --- reductions -----------------------------------------------------------------------------------


def sum(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = Σ x over the axes;  x̄ = z̄ broadcast back"""
    x = as_tensor(x)
    kept, axis = kept_shape(x.shape, axis), tuple(axis) if isinstance(axis, list) else axis
    z = parallel.add_up(x._data, axis, keepdims)
    return record(z, (x, lambda g, _: broadcast_to(reshape(g, kept), x.shape)))


def kept_shape(shape: Shape, axis: Axis) -> Shape:
    """The shape after reducing `axis` with keepdims."""
    axes = range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def mean(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = Σ x / n over the axes"""
    x = as_tensor(x)
    return sum(x, axis, keepdims) / _count("mean", x.shape, axis)


def _count(name: str, shape: Shape, axis: Axis, ddof: int = 0) -> int:
    """The number of elements over the axes, minus `ddof`."""
    n = math.prod(a for a, b in zip(shape, kept_shape(shape, axis), strict=True) if a != b)
    if n <= ddof:
        raise ValueError(f"{name}: expected > {ddof} elements along axis {axis}, got {shape}")
    return n - ddof


def var(x: ArrayLike, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """z = Σ (x − mean x)² / (n − ddof);  x̄ = 2 z̄ (x − mean x) / (n − ddof)"""
    x = as_float(x)
    kept, n = kept_shape(x.shape, axis), _count("var", x.shape, axis, ddof)
    z = xp.square(x.data - mean(x, axis, True).data).sum(axis=axis, keepdims=keepdims) / n
    return record(z, (x, lambda g, _: reshape(g, kept) * (2 / n) * (x - mean(x, axis, True))))


def std(x: ArrayLike, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """z = √var(x);  infinite gradients where all elements are equal"""
    return sqrt(var(x, axis, keepdims, ddof))


def max(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = max x;  the largest element gets z̄, ties share it"""
    return _extreme("max", x, axis, keepdims)


def min(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = min x;  the smallest element gets z̄, ties share it"""
    return _extreme("min", x, axis, keepdims)


def _extreme(name: str, x: ArrayLike, axis: Axis, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    z, kept = getattr(x.data, name)(axis=axis, keepdims=keepdims), kept_shape(x.shape, axis)

    def vjp(g: Tensor, _: Tensor) -> Tensor:
        chosen = x.data == z.reshape(kept)
        return reshape(g, kept) * (chosen / chosen.sum(axis=axis, keepdims=True))

    return record(z, (x, vjp))


def _exp_shifted(x: Array, axis: Axis) -> tuple[Array, Array, Array]:
    """(e^{x−m}, Σ e^{x−m}, m) with m = max x, so that nothing overflows and one term is 1."""
    m = x.max(axis=axis, keepdims=True)
    e = xp.exp(x - m)
    return e, e.sum(axis=axis, keepdims=True), m


def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """z = log Σ eˣ;  x̄ = z̄ ⊙ softmax(x)"""
    x = as_float(x)
    _, total, m = _exp_shifted(x.data, axis)
    z = m + xp.log(total)
    data = z if keepdims else z.squeeze(axis)
    return record(data, (x, lambda g, _: reshape(g, z.shape) * softmax(x, axis)))


def softmax(x: ArrayLike, axis: Axis = -1) -> Tensor:
    """z = eˣ / Σ eˣ;  x̄ = z ⊙ (z̄ − Σ z̄ ⊙ z)"""
    x = as_float(x)
    e, total, _ = _exp_shifted(x.data, axis)
    return record(e / total, (x, lambda g, z: z * (g - sum(g * z, axis, keepdims=True))))


def log_softmax(x: ArrayLike, axis: Axis = -1) -> Tensor:
    """z = x − log Σ eˣ;  x̄ = z̄ − eᶻ Σ z̄"""
    x = as_float(x)
    _, total, m = _exp_shifted(x.data, axis)
    z = (x.data - m) - xp.log(total)
    return record(z, (x, lambda g, z: g - exp(z) * sum(g, axis, keepdims=True)))


def cross_entropy(logits: ArrayLike, target: ArrayLike, axis: int = -1) -> Tensor:
    """z = −mean Σₖ tₖ log softmax(logits)ₖ over rows, t one-hot or the given probabilities

    `target` has an int for each row, the class, or a row of probabilities.
    """
    logits, t = as_float(logits), as_tensor(target)
    rows, K = logits.shape[:axis] + logits.shape[axis:][1:], logits.shape[axis]
    if t.dtype.kind in "iu" and t.shape == rows:
        if not 0 <= int(t.data.min()) <= int(t.data.max()) < K:
            raise ValueError(f"cross_entropy: expected labels from 0 to {K - 1}, got {t.data}")
        onehot = (t.data[..., None] == xp.arange(K)).astype(logits.dtype)
        t = as_tensor(xp.moveaxis(onehot, -1, axis))
    if t.shape != logits.shape:
        expected = f"{rows} ints or {logits.shape} probabilities"
        raise ValueError(f"cross_entropy: expected `target` {expected}, got {t.shape} {t.dtype}")
    return -sum(t * log_softmax(logits, axis)) / math.prod(rows)
