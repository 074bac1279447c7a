r"""Attention: each position averages all values, weighted by how well their keys match its query.

Position i has a query qᵢ, position j a key kⱼ and a value vⱼ, and

    zᵢ = Σⱼ aᵢⱼ vⱼ,    aᵢ = softmax over j of ⟨qᵢ, kⱼ⟩ / √d.  (Vaswani et al. 2017, equation 1)

If all elements have variance 1, ⟨q, k⟩ has variance d. Dividing by √d keeps the softmax from
saturating as d grows. There are T queries and S keys, and d is their length.
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

__all__ = ["CrossAttention", "SelfAttention", "attend"]


def attend(q: ArrayLike, k: ArrayLike, v: ArrayLike) -> Tensor:
    """z = softmax(q kᵀ / √d) v, over the last two axes: q (…, T, d), k (…, S, d), v (…, S, e)"""
    q, k, v = as_alike("attend", q, k, v)
    return matmul(_weights(q, k), v)


def _weights(q: Tensor, k: Tensor) -> Tensor:
    """aᵢⱼ, (…, T, S)"""
    return softmax(matmul(q * (1 / math.sqrt(q.shape[-1])), swapaxes(k, -1, -2)))


class CrossAttention(Module):
    """Positions of x (N, positions…, C) attend to a sequence of words (N, S, D)

    Queries come from x, keys and values from the words (Rombach et al. 2022, section 3.3). The
    heads have C / heads channels each. Their outputs, side by side, go through a dense layer. The
    arguments `channels` and `words` are C and D.
    """

    def __init__(
        self, channels: int, words: int, heads: int = 1, *, rng: Rng, init: Init = lecun_normal
    ) -> None:
        name = type(self).__name__
        whole(name, 1, heads=heads)
        if channels % heads:
            raise ValueError(f"{name}: {heads} `heads` do not divide {channels} channels")
        self.heads = int(heads)
        sizes = (channels, words, words, channels)
        dense = [Dense(size, channels, rng=rng, init=init) for size in sizes]
        self.query, self.key, self.value, self.mix = dense

    def weights(self, x: Tensor, words: Tensor) -> Tensor:
        """aᵢⱼ of each head: how much position i attends to word j, (N, heads, T, S)"""
        return _weights(self._split(self.query(x)), self._split(self.key(words)))

    def forward(self, x: ArrayLike, words: ArrayLike) -> Tensor:
        x, words, _ = as_alike("attention", x, words, self.query.weight)
        if x.ndim < 3:
            name = type(self).__name__
            raise ValueError(f"{name}: expected `x` (N, positions, C), got {x.shape}")
        z = matmul(self.weights(x, words), self._split(self.value(words)))  # (N, heads, T, d)
        return self.mix(reshape(swapaxes(z, 1, 2), x.shape))

    def _split(self, h: Tensor) -> Tensor:
        """(N, positions…, C) → (N, heads, T, d)"""
        N, *positions, C = h.shape
        split = (N, math.prod(positions), self.heads, C // self.heads)
        return swapaxes(reshape(h, split), 1, 2)

    def multiply_adds(self, x: Shape, z: Shape, *others: Shape) -> int:
        N, *positions, C = x
        words = others[0] if others else x
        return 2 * N * math.prod(positions) * math.prod(words[1:-1]) * C


class SelfAttention(CrossAttention):
    """Self-attention: the positions of x (N, positions…, C) attend to each other"""

    def __init__(
        self, channels: int, heads: int = 1, *, rng: Rng, init: Init = lecun_normal
    ) -> None:
        super().__init__(channels, channels, heads, rng=rng, init=init)

    def forward(self, x: ArrayLike) -> Tensor:  # type: ignore[override]
        return super().forward(x, x)
