r"""Normalisation: entries brought to mean 0 and variance 1, then scaled and shifted.

The norm layers differ only in which entries share a mean. Seen as x (A, B, G, D), with mean and
variance over the axes B and D, all of them are one operation:

    BatchNorm   (1, N H W, C, 1)      over the batch, for each channel
    GroupNorm   (N, H W, G, C / G)    over the pixels and the channels of a group, for each image
    LayerNorm   (N H W, 1, 1, C)      over the channels, for each pixel

With d = x − μ, r = 1/√(σ² + ε), z = d r and y = γ ⊙ z + β, the gradient is

    γ̄ = Σ ȳ ⊙ z,    β̄ = Σ ȳ,    x̄ = r (h − mean h − z mean(h ⊙ z)),   h = γ ⊙ ȳ

in which μ and r depend on x: r held constant would give wrong second derivatives.

Reading order: `normalise`, whose vjps say this twice: once in Tensors, to be differentiated again,
and once in arrays with few passes over memory; then these passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from tinygen.autograd.backend import Array, xp
from tinygen.autograd.functions import mean
from tinygen.autograd.graph import is_recording
from tinygen.autograd.parallel import spread, workspace
from tinygen.autograd.tensor import Tensor, as_alike, as_tensor, record

__all__ = ["normalise"]


def normalise(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> tuple[Tensor, Array, Array]:
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ, σ² over the axes B and D of x (A, B, G, D)

    γ and β are (G, D). Returned with y are μ and σ² as arrays (A, 1, G, 1).
    """
    x, gamma, beta = as_alike("normalise", x, gamma, beta)
    if x.ndim != 4 or gamma.shape != x.shape[2:] or beta.shape != x.shape[2:]:
        raise ValueError(f"normalise: expected `x` (A, B, G, D), `gamma` and `beta` (G, D), got "
                         f"{x.shape}, {gamma.shape} and {beta.shape}")  # fmt: skip
    mu, variance = _moments(x.data)
    r = 1 / xp.sqrt(variance + eps)
    scale = gamma.data * r  # (A, 1, G, D)
    y = _apply(x.data, scale, beta.data - mu * scale)
    sums = _once(lambda g: _sums(g.data, x.data, mu, r))

    def recorded() -> tuple[Tensor, Tensor]:
        """z and r again, as functions of x."""
        d: Tensor = x - mean(x, axis=(1, 3), keepdims=True)
        r = (mean(d * d, axis=(1, 3), keepdims=True) + eps) ** -0.5
        return d * r, r

    def vjp_x(g: Tensor, _: Tensor) -> Tensor:
        if is_recording():
            z, r_of_x = recorded()
            h = g * gamma
            inner: Tensor = h - mean(h, (1, 3), True) - z * mean(h * z, (1, 3), True)
            return r_of_x * inner
        n = x.shape[1] * x.shape[3]
        sum_g, sum_gz = sums(g)  # (A, 1, G, D)
        mean_h = (gamma.data * sum_g).sum(axis=3, keepdims=True) / n
        mean_hz = (gamma.data * sum_gz).sum(axis=3, keepdims=True) / n
        slope = xp.repeat(-r * r * mean_hz, x.shape[3], axis=3)
        return as_tensor(_apply(g.data, scale, -r * mean_h - slope * mu, x.data, slope))

    def vjp_gamma(g: Tensor, _: Tensor) -> Tensor:
        return g * recorded()[0] if is_recording() else as_tensor(sums(g)[1].sum(axis=(0, 1)))

    def vjp_beta(g: Tensor, _: Tensor) -> Tensor:
        return g if is_recording() else as_tensor(sums(g)[0].sum(axis=(0, 1)))

    return record(y, (x, vjp_x), (gamma, vjp_gamma), (beta, vjp_beta)), mu, variance


def _once(f: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """`f`, computed once for the several vjps that are called with one cotangent."""
    last: list[Any] = [lambda: None, 0, None]

    def call(g: Tensor) -> Any:
        if last[0]() is not g or last[1] != g._version:
            last[:] = weakref.ref(g), g._version, f(g)
        return last[2]

    return call


# --- the passes over memory, in blocks of whole images, or of rows where there is one -------------


def _in_pieces(work: Callable[[slice, slice], Any], x: Array, copies: int) -> list[Any]:
    """`work` on pieces of the axes A and B, over threads; `copies` of a piece fit into a block."""
    A, B, G, D = x.shape
    row = copies * G * D * x.itemsize
    if A == 0:
        return [work(slice(None), slice(None))]
    if A > 1 or B == 1:
        return spread(lambda i, j: work(slice(i, j), slice(None)), A, B * row)
    return spread(lambda i, j: work(slice(None), slice(i, j)), B, row)


def _add_up(x: Array) -> Array:
    """Σ over B: (A, B, G, D) → (A, 1, G, D), as a product with ones, which is the fastest sum."""
    A, B, G, D = x.shape
    if B == 1:
        return x.copy()
    return (xp.ones((1, B), x.dtype) @ x.reshape(A, B, G * D)).reshape(A, 1, G, D)


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance over B and D. Each piece's are exact; those of rows are then merged."""

    def moments(i: slice, j: slice) -> tuple[int, Array, Array]:
        part = x[i, j]
        n = part.shape[1] * part.shape[3]
        m = _add_up(part).sum(axis=3, keepdims=True) / n
        each = xp.repeat(m, x.shape[3], axis=3)  # contiguous beside x's channels: a faster pass
        d = xp.subtract(part, each, out=workspace("centred", part.shape, x.dtype))
        c = _add_up(d).sum(axis=3, keepdims=True) / n  # what rounding has left out of m
        d *= d
        squares = _add_up(d).sum(axis=3, keepdims=True) - n * c * c
        return n, m + c, squares  # Σ (x − m − c)²

    pieces = _in_pieces(moments, x, 2)
    n = x.shape[1] * x.shape[3]
    if x.shape[0] > 1 or x.shape[1] == 1:
        return (xp.concatenate([m for _, m, _ in pieces]),
                xp.concatenate([squares for *_, squares in pieces]) / n)  # fmt: skip
    mu = sum(count / n * m for count, m, _ in pieces)
    # around the common mean: Σ (x − μ)² = Σ (x − m)² + n (m − μ)²
    return mu, sum(squares + count * (m - mu) ** 2 for count, m, squares in pieces) / n


def _apply(x: Array, scale: Array, shift: Array, x2: Array = None, scale2: Array = None) -> Array:
    """scale ⊙ x + shift (+ scale₂ ⊙ x₂)"""
    y = xp.empty_like(x)
    several = len(scale) > 1

    def work(i: slice, j: slice) -> None:
        k = i if several else slice(None)
        out = xp.multiply(x[i, j], scale[k], out=y[i, j])
        out += shift[k]
        if x2 is not None:
            part = workspace("centred", out.shape, x.dtype)
            out += xp.multiply(x2[i, j], scale2[k], out=part)

    _in_pieces(work, x, 3)
    return y


def _sums(g: Array, x: Array, mu: Array, r: Array) -> tuple[Array, Array]:
    """Σ g and Σ g ⊙ z over B"""
    several = len(mu) > 1
    mu = xp.repeat(mu, x.shape[3], axis=3)

    def work(i: slice, j: slice) -> tuple[Array, Array]:
        d = workspace("centred", g[i, j].shape, g.dtype)
        xp.subtract(x[i, j], mu[i] if several else mu, out=d)
        d *= g[i, j]
        return _add_up(g[i, j]), _add_up(d)

    pieces = _in_pieces(work, x, 3)
    if several:
        sum_g, sum_gd = (xp.concatenate(each) for each in zip(*pieces, strict=True))
    else:
        sum_g, sum_gd = (sum(each[1:], each[0]) for each in zip(*pieces, strict=True))
    return sum_g, sum_gd * r
