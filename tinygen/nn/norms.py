r"""Norm layers: `normalise` on views of x, with C channels last; and spectral normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, matmul, normalise, reshape, swapaxes, xp
from tinygen.autograd.tensor import as_alike
from tinygen.nn.layers import ConvTranspose2d, parameter
from tinygen.nn.module import Module

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "SpectralNorm"]


class _Norm(Module):
    """γ, initially 1, and β, initially 0, for each channel."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        whole(type(self).__name__, 1, channels=channels)
        expect(type(self).__name__, "> 0", eps=eps)
        self.eps = float(eps)
        self.gamma, self.beta = parameter(np.ones(channels)), parameter(np.zeros(channels))

    def _normalise(self, x: Tensor, *view: int) -> tuple[Tensor, Array, Array]:
        """`normalise` on a view (A, B, G, D) of x, and its means and variances."""
        gamma, beta = reshape(self.gamma, view[2:]), reshape(self.beta, view[2:])
        y, mu, variance = normalise(reshape(x, view), gamma, beta, self.eps)
        return reshape(y, x.shape), mu, variance

    def _checked(self, x: ArrayLike) -> Tensor:
        (x, _), (C,) = as_alike("norm", x, self.gamma), self.gamma.shape
        if x.shape[-1:] != (C,):
            raise ValueError(f"{type(self).__name__}: expected `x` (…, {C}), got {x.shape}")
        return x


class BatchNorm(_Norm):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with each channel's μ and σ² over the batch and its pixels

    Evaluation uses running averages, `mean` and `variance`, which training moves by `momentum`
    towards μ and the unbiased variance, over n − 1. (Ioffe & Szegedy 2015)
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        expect("BatchNorm", "in [0, 1]", momentum=momentum)
        self.momentum = float(momentum)
        self.mean, self.variance = xp.zeros(channels, "f4"), xp.ones(channels, "f4")

    def forward(self, x: ArrayLike) -> Tensor:
        x = self._checked(x)
        if not self.training:
            scale = self.gamma * (1 / xp.sqrt(self.variance + self.eps))
            return x * scale + (self.beta - self.mean * scale)
        *rows, C = x.shape
        n = math.prod(rows)
        if n < 2:
            raise ValueError(f"BatchNorm: training needs ≥ 2 values per channel, got {x.shape}")
        y, mu, variance = self._normalise(x, 1, n, C, 1)
        self.mean = self._moved(self.mean, mu.reshape(C))
        self.variance = self._moved(self.variance, variance.reshape(C) * (n / (n - 1)))
        return y

    def _moved(self, average: Array, new: Array) -> Array:
        # not in place: the graph of an evaluation may need the old one
        return (average + self.momentum * (new - average)).astype(average.dtype, copy=False)


class GroupNorm(_Norm):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ and σ² over a group of channels of one image

    With one channel per group it is instance normalisation. (Wu & He 2018)
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        whole("GroupNorm", 1, groups=groups)
        if channels % groups:
            raise ValueError(f"GroupNorm: {groups} `groups` do not divide {channels} channels")
        self.groups = int(groups)

    def forward(self, x: ArrayLike) -> Tensor:
        N, *pixels, C = (x := self._checked(x)).shape
        return self._normalise(x, N, math.prod(pixels), self.groups, C // self.groups)[0]


class LayerNorm(_Norm):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ and σ² over the channels. (Ba et al. 2016)"""

    def forward(self, x: ArrayLike) -> Tensor:
        *rows, C = (x := self._checked(x)).shape
        return self._normalise(x, math.prod(rows), 1, 1, C)[0]


class SpectralNorm(Module):
    """A layer with weight W / σ, where σ is the largest singular value of W. (Miyato et al. 2018)

    W has one column per output, so that a dense layer f satisfies |f(x) − f(y)| ≤ |x − y|. Power
    iteration, v ← Wᵀ W v / |Wᵀ W v|, finds σ = |W v|. In training each call continues from the last
    v for `iterations` steps. Gradients of σ pass through them; after convergence they are σ̄ u vᵀ.
    """

    layer: Any  # a Module with a `weight`

    def __init__(self, layer: Module, iterations: int = 1, *, rng: Rng) -> None:
        whole("SpectralNorm", 1, iterations=iterations)
        self.layer, self.iterations = layer, int(iterations)
        W = self._matrix()
        v = generator("SpectralNorm", rng).standard_normal((W.shape[1], 1))
        self.v = xp.asarray(v / np.linalg.norm(v), W.dtype)

    def _matrix(self) -> Tensor:
        weight = self.layer.weight
        if isinstance(self.layer, ConvTranspose2d):  # (K, L, outputs, inputs)
            weight = swapaxes(weight, -1, -2)
        return reshape(weight, (-1, weight.shape[-1]))

    def forward(self, x: ArrayLike) -> Any:
        weight, W = self.layer.weight, self._matrix()
        v: Any = self.v  # an array, so that it takes the dtype of W
        for _ in range(self.iterations if self.training else 0):
            v = matmul(W.T, matmul(W, v))
            v = v / _length(v)
        sigma = _length(matmul(W, v))
        if self.training:
            self.v = v.data.astype(self.v.dtype, copy=False)
        self.layer.weight = weight / sigma
        try:
            return self.layer(x)
        finally:
            self.layer.weight = weight


def _length(x: Tensor) -> Tensor:
    return ((x * x).sum() + 1e-12) ** 0.5
