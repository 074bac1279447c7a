"""Normalisation on a CPU: what normalisation.py computes plainly, in few passes over memory.

Mean and variance take one pass, y another. The three gradients share their sums over ȳ and ȳ ⊙ z.
Given these, x̄ is one more pass, a sum of scaled ȳ, scaled x and a shift:

    x̄ = r (h − mean h − z m) = γ r ⊙ ȳ − r² m x + (r² m μ − r mean h),   m = mean(h ⊙ z)

Each pass runs in blocks that stay in a core's cache, spread over the cores. These functions are
tested equal to the plain ones; `TINYGEN_PLAIN=1` switches them off.

Reading order: `normalise`; then its passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen._types import Array
from tinygen.autograd.parallel import spread, workspace
from tinygen.autograd.tensor import Tensor

Vjp = Callable[[Tensor], Array]


def normalise(
    x: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array, tuple[Vjp, Vjp, Vjp]]:
    """y, μ and σ², and the functions from ȳ to x̄, γ̄ and β̄ as arrays (right to order 1 only)."""
    mu, variance = _moments(x)
    r = 1 / np.sqrt(variance + eps)
    scale = gamma * r  # (A, 1, G, D)
    y = _scale_and_shift(x, scale, beta - mu * scale)
    sums_of = _once(lambda g: _sums(g.data, x, mu, r))

    def vjp_x(g: Tensor) -> Array:
        n = x.shape[1] * x.shape[3]
        sum_g, sum_gz = sums_of(g)  # (A, 1, G, D)
        mean_h = (gamma * sum_g).sum(axis=3, keepdims=True) / n
        mean_hz = (gamma * sum_gz).sum(axis=3, keepdims=True) / n
        slope = np.repeat(-r * r * mean_hz, x.shape[3], axis=3)
        return _scale_and_shift(g.data, scale, -r * mean_h - slope * mu, x, slope)

    def vjp_gamma(g: Tensor) -> Array:
        return sums_of(g)[1].sum(axis=(0, 1))

    def vjp_beta(g: Tensor) -> Array:
        return sums_of(g)[0].sum(axis=(0, 1))

    return y, mu, variance, (vjp_x, vjp_gamma, vjp_beta)


def _once(f: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """`f`, computed once for the three vjps that are called with one cotangent."""
    last: list[Any] = [lambda: None, 0, None]

    def call(g: Tensor) -> Any:
        if last[0]() is not g or last[1] != g._version:
            last[:] = weakref.ref(g), g._version, f(g)
        return last[2]

    return call


# --- the passes, in blocks of whole images, or of rows where there is one image -------------------


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
    return (np.ones((1, B), x.dtype) @ x.reshape(A, B, G * D)).reshape(A, 1, G, D)


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance over B and D: those of each piece, merged where pieces share a mean."""

    def of_piece(i: slice, j: slice) -> tuple[int, Array, Array]:
        part = x[i, j]
        n = part.shape[1] * part.shape[3]
        m = _add_up(part).sum(axis=3, keepdims=True) / n
        each = np.repeat(m, x.shape[3], axis=3)  # contiguous beside x's channels: a faster pass
        d = np.subtract(part, each, out=workspace("centred", part.shape, x.dtype))
        c = _add_up(d).sum(axis=3, keepdims=True) / n  # what rounding has left out of m
        d *= d
        squares = _add_up(d).sum(axis=3, keepdims=True) - n * c * c
        return n, m + c, squares  # Σ (x − m − c)²

    pieces = _in_pieces(of_piece, x, 2)
    n = x.shape[1] * x.shape[3]
    if x.shape[0] > 1 or x.shape[1] == 1:
        return (
            np.concatenate([m for _, m, _ in pieces]),
            np.concatenate([squares for *_, squares in pieces]) / n,
        )
    mu = sum(count / n * m for count, m, _ in pieces)
    # around the common mean: Σ (x − μ)² = Σ (x − m)² + n (m − μ)²
    return mu, sum(squares + count * (m - mu) ** 2 for count, m, squares in pieces) / n


def _scale_and_shift(
    x: Array, scale: Array, shift: Array, x2: Any = None, scale2: Any = None
) -> Array:
    """scale ⊙ x + shift (+ scale₂ ⊙ x₂)"""
    y = np.empty_like(x)
    several = len(scale) > 1

    def work(i: slice, j: slice) -> None:
        k = i if several else slice(None)
        out = np.multiply(x[i, j], scale[k], out=y[i, j])
        out += shift[k]
        if x2 is not None:
            part = workspace("centred", out.shape, x.dtype)
            out += np.multiply(x2[i, j], scale2[k], out=part)

    _in_pieces(work, x, 3)
    return y


def _sums(g: Array, x: Array, mu: Array, r: Array) -> tuple[Array, Array]:
    """Σ g and Σ g ⊙ z over B"""
    several = len(mu) > 1
    mu = np.repeat(mu, x.shape[3], axis=3)

    def work(i: slice, j: slice) -> tuple[Array, Array]:
        d = workspace("centred", g[i, j].shape, g.dtype)
        np.subtract(x[i, j], mu[i] if several else mu, out=d)
        d *= g[i, j]
        return _add_up(g[i, j]), _add_up(d)

    pieces = _in_pieces(work, x, 3)
    if several:
        sum_g, sum_gd = (np.concatenate(each) for each in zip(*pieces, strict=True))
    else:
        sum_g, sum_gd = (sum(each[1:], each[0]) for each in zip(*pieces, strict=True))
    return sum_g, sum_gd * r
