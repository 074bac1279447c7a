r"""Normalisation: entries brought to mean 0 and variance 1, then scaled and shifted.

The norm layers differ only in which entries share a mean. Seen as x (A, B, G, D), with mean and
variance over the axes B and D, all of them are one operation:

    BatchNorm   (1, N H W, C, 1)      over the batch, for each channel
    GroupNorm   (N, H W, G, C / G)    over the pixels and the channels of a group, for each image
    LayerNorm   (N H W, 1, 1, C)      over the channels, for each pixel

With d = x − μ, r = 1/√(σ² + ε), z = d r and y = γ ⊙ z + β, the gradient is

    γ̄ = Σ ȳ ⊙ z,    β̄ = Σ ȳ,    x̄ = r (h − mean h − z mean(h ⊙ z)),   h = γ ⊙ ȳ

in which μ and r depend on x: r held constant would give wrong second derivatives.

Reading order: `normalise`, the equation and its gradient; fast_norm.py computes the same on a CPU
with few passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygen._types import Array
from tinygen.autograd import backend, fast_norm
from tinygen.autograd.backend import xp
from tinygen.autograd.functions import mean
from tinygen.autograd.graph import is_recording
from tinygen.autograd.tensor import Tensor, as_alike, as_tensor, record

__all__ = ["normalise"]

Vjp = Callable[[Tensor, Tensor], Tensor]
B_D = (1, 3)  # the axes that share a mean


def normalise(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> tuple[Tensor, Array, Array]:
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ, σ² over the axes B and D of x (A, B, G, D)

    γ and β are (G, D). Returned with y are μ and σ² as arrays (A, 1, G, 1).
    """
    x, gamma, beta = as_alike("normalise", x, gamma, beta)
    if x.ndim != 4 or gamma.shape != x.shape[2:] or beta.shape != x.shape[2:]:
        raise ValueError(
            f"normalise: expected `x` (A, B, G, D), `gamma` and `beta` (G, D), got "
            f"{x.shape}, {gamma.shape} and {beta.shape}"
        )

    def z_and_r() -> tuple[Tensor, Tensor]:
        """z and r as functions of x, so that a vjp can be differentiated again."""
        d = x - mean(x, B_D, keepdims=True)
        d = d - mean(d, B_D, keepdims=True)  # what rounding left out of the mean
        r = (mean(d * d, B_D, keepdims=True) + eps) ** -0.5
        return d * r, r

    def vjp_x(g: Tensor, _: Tensor) -> Tensor:
        z, r = z_and_r()
        h = g * gamma
        gx: Tensor = r * (h - mean(h, B_D, True) - z * mean(h * z, B_D, True))
        return gx

    vjps: list[Vjp] = [vjp_x, lambda g, _: g * z_and_r()[0], lambda g, _: g]
    if backend.plain:
        mu, variance = _moments(x.data)
        y = gamma.data * (x.data - mu) / xp.sqrt(variance + eps) + beta.data
    else:
        y, mu, variance, fast = fast_norm.normalise(x.data, gamma.data, beta.data, eps)
        vjps = [_unless_recorded(*each) for each in zip(fast, vjps, strict=True)]
    return record(y, *zip((x, gamma, beta), vjps, strict=True)), mu, variance


def _moments(x: Array) -> tuple[Array, Array]:
    """μ and σ² over the axes B and D."""
    mu = x.mean(B_D, keepdims=True)
    mu += (x - mu).mean(B_D, keepdims=True)  # what rounding left out
    return mu, xp.square(x - mu).mean(B_D, keepdims=True)


def _unless_recorded(fast: Callable[[Tensor], Array], vjp: Vjp) -> Vjp:
    """The fast array of a gradient; the vjp in Tensors where it will be differentiated again."""
    return lambda g, y: vjp(g, y) if is_recording() else as_tensor(fast(g))
