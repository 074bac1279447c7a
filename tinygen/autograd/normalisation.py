r"""Normalisation brings elements to mean 0 and variance 1, then scales and shifts them.

The norm layers differ only in which elements share a mean. On a view (A, B, G, D) of x, with mean
and variance over the axes B and D, all of them are one operation:

    BatchNorm   (1, N H W, C, 1)      over the batch, for each channel
    GroupNorm   (N, H W, G, C / G)    over the pixels and the channels of a group, for each image
    LayerNorm   (N H W, 1, 1, C)      over the channels, for each pixel

With d = x − μ, r = 1/√(σ² + ε), z = d r and y = γ ⊙ z + β, the gradients are

    γ̄ = Σ ȳ ⊙ z,    β̄ = Σ ȳ,    x̄ = r (h − mean h − z mean(h ⊙ z)),   h = γ ⊙ ȳ

where μ and r depend on x. Treating r as a constant would make second derivatives wrong.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen._types import Array, ArrayLike
from tinygen.autograd import backend
from tinygen.autograd.backend import xp
from tinygen.autograd.functions import mean
from tinygen.autograd.graph import is_recording
from tinygen.autograd.parallel import fused, spread, workspace
from tinygen.autograd.tensor import Tensor, Vjp, as_alike, as_tensor, record

__all__ = ["normalise"]

ArrayVjp = Callable[[Tensor], Array]
B_D = (1, 3)  # the axes that share a mean


def normalise(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, eps: float = 1e-5
) -> tuple[Tensor, Array, Array]:
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ, σ² over the axes B and D of x (A, B, G, D)

    γ and β are (G, D). Returns y, and μ and σ² as arrays (A, 1, G, 1).
    """
    x, gamma, beta = as_alike("normalise", x, gamma, beta)
    if x.ndim != 4 or not gamma.shape == beta.shape == x.shape[2:]:
        shapes = f"{x.shape}, {gamma.shape} and {beta.shape}"
        raise ValueError(f"normalise: expected (A, B, G, D), (G, D) and (G, D), got {shapes}")

    def z_and_r() -> tuple[Tensor, Tensor]:
        """z and r as functions of x, so that a vjp can be differentiated again."""
        d = x - mean(x, B_D, keepdims=True)
        d = d - mean(d, B_D, keepdims=True)  # correct the mean's rounding error
        r = (mean(d * d, B_D, keepdims=True) + eps) ** -0.5
        return d * r, r

    def vjp_x(g: Tensor, _: Tensor) -> Tensor:
        z, r = z_and_r()
        h = g * gamma
        gx: Tensor = r * (h - mean(h, B_D, True) - z * mean(h * z, B_D, True))
        return gx

    vjps: list[Vjp] = [vjp_x, lambda g, _: g * z_and_r()[0], lambda g, _: g]
    if backend.plain or not x.size:
        mu = x.data.mean(B_D, keepdims=True)
        mu += (x.data - mu).mean(B_D, keepdims=True)  # correct the rounding error
        variance = xp.square(x.data - mu).mean(B_D, keepdims=True)
        y = gamma.data * (x.data - mu) / xp.sqrt(variance + eps) + beta.data
    else:
        y, mu, variance, fast = on_cpu(x.data, gamma.data, beta.data, eps)
        vjps = [_unless_recorded(*pair) for pair in zip(fast, vjps, strict=True)]
    return record(y, *zip((x, gamma, beta), vjps, strict=True)), mu, variance


def _unless_recorded(fast: ArrayVjp, vjp: Vjp) -> Vjp:
    """The fast vjp on arrays; the one in Tensors if the gradient will be differentiated again."""
    return lambda g, y: vjp(g, y) if is_recording() else as_tensor(fast(g))


# --- on a CPU: few passes over memory, in blocks that fit a core's cache --------------------------


def on_cpu(
    x: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array, list[ArrayVjp]]:
    """y, μ and σ², and the functions from ȳ to x̄, γ̄ and β̄ as arrays (first order only).

    The three gradients share the sums over ȳ and ȳ ⊙ z. Given these, x̄ is one more pass:

        x̄ = r (h − mean h − z m) = γ r ⊙ ȳ − r² m x + (r² m μ − r mean h),   m = mean(h ⊙ z)
    """
    mu, variance = _moments(x)
    r = 1 / np.sqrt(variance + eps)
    scale = gamma * r  # (A, 1, G, D)
    y = _one_pass(_affine, x, scale, beta - mu * scale)
    known: weakref.WeakKeyDictionary[Tensor, Any] = weakref.WeakKeyDictionary()

    def sums(g: Tensor) -> tuple[Array, Array]:  # computed once for all three
        if known.get(g, (-1,))[0] != g._version:
            known[g] = g._version, *_sums(g.data, x, mu, r)
        return known[g][1:]

    def vjp_x(g: Tensor) -> Array:
        n, D = x.shape[1] * x.shape[3], x.shape[3]
        mean_h, mean_hz = ((gamma * s).sum(axis=3, keepdims=True) / n for s in sums(g))
        scale_x = np.repeat(-r * r * mean_hz, D, axis=3)
        return _one_pass(_affine2, g.data, scale, -r * mean_h - scale_x * mu, x, scale_x)

    vjps = [vjp_x, lambda g: sums(g)[1].sum((0, 1)), lambda g: sums(g)[0].sum((0, 1))]
    return y, mu, variance, vjps


_affine = fused(lambda x, scale, shift: x * scale + shift)
_affine2 = fused(lambda x, scale, shift, x2, scale2: x * scale + shift + x2 * scale2)


def _one_pass(formula: Callable[..., Array], *arrays: Array) -> Array:
    """A fused formula over arrays (A, …), cut along the next axis if A is 1."""
    return formula(*arrays) if len(arrays[0]) > 1 else formula(*(a[0] for a in arrays))[None]


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance over B and D, from those of pieces; merged if pieces share a mean."""

    def of_piece(i: slice, j: slice) -> tuple[int, Array, Array]:
        part = x[i, j]
        n = part.shape[1] * part.shape[3]
        m = _add_up(part).sum(axis=3, keepdims=True) / n
        wide = np.repeat(m, x.shape[3], axis=3)  # no broadcasting over D: a faster pass
        d = np.subtract(part, wide, out=workspace("centred", part.shape, x.dtype))
        c = _add_up(d).sum(axis=3, keepdims=True) / n  # the rounding error of m
        d *= d
        return n, m + c, _add_up(d).sum(axis=3, keepdims=True) - n * c * c  # Σ (x − m − c)²

    counts, means, squares = zip(*_in_pieces(of_piece, x, 2), strict=True)
    n = x.shape[1] * x.shape[3]
    if len(x) > 1:
        return np.concatenate(means), np.concatenate(squares) / n
    mu = sum(k / n * m for k, m in zip(counts, means, strict=True))
    pieces = zip(counts, means, squares, strict=True)  # Σ (x − μ)² = Σ (x − m)² + n (m − μ)²
    return mu, sum(s + k * (m - mu) ** 2 for k, m, s in pieces) / n


def _sums(g: Array, x: Array, mu: Array, r: Array) -> tuple[Array, Array]:
    """Σ g and Σ g ⊙ z over B"""
    mu = np.repeat(mu, x.shape[3], axis=3)

    def of_piece(i: slice, j: slice) -> tuple[Array, Array]:
        d = workspace("centred", g[i, j].shape, g.dtype)
        np.subtract(x[i, j], mu[i], out=d)
        d *= g[i, j]
        return _add_up(g[i, j]), _add_up(d)

    join = np.concatenate if len(x) > 1 else functools.partial(functools.reduce, np.add)
    sum_g, sum_gd = map(join, zip(*_in_pieces(of_piece, x, 3), strict=True))
    return sum_g, sum_gd * r


def _in_pieces(work: Callable[[slice, slice], Any], x: Array, copies: int) -> list[Any]:
    """`work` on pieces: images, or rows of a single one. A block holds `copies` of a piece."""
    if len(x) > 1:
        return spread(lambda i, j: work(np.s_[i:j], np.s_[:]), len(x), copies * x[0].nbytes)
    return spread(lambda i, j: work(np.s_[:], np.s_[i:j]), x.shape[1], copies * x[0, 0].nbytes)


def _add_up(x: Array) -> Array:
    """Σ over B: (A, B, G, D) → (A, 1, G, D), as a product with ones, the fastest way to sum."""
    A, B, G, D = x.shape
    z = np.ones((1, B), x.dtype) @ x.reshape(A, B, G * D) if B > 1 else x.copy()
    return z.reshape(A, 1, G, D)
