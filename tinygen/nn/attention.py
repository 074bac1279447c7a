r"""Attention: each position averages all values, weighted by how well their keys match its query.

Position i has a query qᵢ, position j a key kⱼ and a value vⱼ, and

    zᵢ = Σⱼ aᵢⱼ vⱼ,    aᵢ = softmax over j of ⟨qᵢ, kⱼ⟩ / √d.  (Vaswani et al. 2017, equation 1)

If all elements have variance 1, ⟨q, k⟩ has variance d. Dividing by √d keeps the softmax from
saturating as d grows. T is the number of positions, d the length of a query.
"""

from __future__ import annotations

import math

from tinygen._checks import whole
from tinygen._types import ArrayLike, Rng, Shape
from tinygen.autograd import Tensor, matmul, reshape, softmax, swapaxes
from tinygen.autograd.tensor import as_alike
from tinygen.nn.initializers import Init, lecun_normal
from tinygen.nn.layers import Dense
from tinygen.nn.module import Module

__all__ = ["SelfAttention", "attend"]


def attend(q: ArrayLike, k: ArrayLike, v: ArrayLike) -> Tensor:
    """z = softmax(q kᵀ / √d) v, over the last two axes: q (…, T, d), k (…, S, d), v (…, S, e)"""
    q, k, v = as_alike("attend", q, k, v)
    scores = matmul(q * (1 / math.sqrt(q.shape[-1])), swapaxes(k, -1, -2))  # (…, T, S)
    return matmul(softmax(scores), v)


class SelfAttention(Module):
    """Self-attention over x (N, positions…, C): heads of C / heads channels, then a dense layer"""

    def __init__(
        self, channels: int, heads: int = 1, *, rng: Rng, init: Init = lecun_normal
    ) -> None:
        whole("SelfAttention", 1, heads=heads)
        if channels % heads:
            raise ValueError(f"SelfAttention: {heads} `heads` do not divide {channels} channels")
        self.heads = int(heads)
        dense = [Dense(channels, channels, rng=rng, init=init) for _ in range(4)]
        self.query, self.key, self.value, self.mix = dense

    def forward(self, x: ArrayLike) -> Tensor:
        x, _ = as_alike("attention", x, self.query.weight)
        N, *positions, C = x.shape
        if not positions:
            raise ValueError(f"SelfAttention: expected `x` (N, positions, C), got {x.shape}")
        split = (N, math.prod(positions), self.heads, C // self.heads)  # (N, T, heads, d)
        dense = (self.query, self.key, self.value)
        q, k, v = (swapaxes(reshape(f(x), split), 1, 2) for f in dense)  # (N, heads, T, d)
        z = swapaxes(attend(q, k, v), 1, 2)  # (N, T, heads, d)
        return self.mix(reshape(z, x.shape))

    def multiply_adds(self, x: Shape, z: Shape) -> int:
        N, *positions, C = x
        return 2 * N * math.prod(positions) ** 2 * C
