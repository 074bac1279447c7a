r"""The norm layers: one operation, `normalise`, on four views of x; and spectral normalisation.

Channels are the last axis, C of them. ε keeps the root of a variance of zero from dividing by it.

Reading order: BatchNorm; GroupNorm and LayerNorm, which need no statistics; SpectralNorm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._random import generator
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, matmul, normalise, reshape, swapaxes, xp
from tinygen.autograd import sum as sum_over
from tinygen.autograd.tensor import as_alike
from tinygen.nn.layers import ConvTranspose2d, parameter
from tinygen.nn.module import Module

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "SpectralNorm"]


class _Norm(Module):
    """γ, beginning at 1, and β, beginning at 0, for each channel."""

    def __init__(self, channels: int, eps: float) -> None:
        whole(type(self).__name__, 1, channels=channels)
        if not eps > 0:
            raise ValueError(f"{type(self).__name__}: expected `eps` > 0, got {eps!r}")
        self.eps = float(eps)
        self.gamma, self.beta = parameter(np.ones(channels)), parameter(np.zeros(channels))

    def _checked(self, x: Any, least: int) -> Tensor:
        (x, _), C = as_alike("norm", x, self.gamma), self.gamma.shape[0]
        if x.ndim < least or x.shape[-1] != C:
            axes = "N, …" if least > 1 else "…"
            raise ValueError(
                f"{type(self).__name__}: expected `x` of shape ({axes}, {C}), got {x.shape}"
            )
        return x


class BatchNorm(_Norm):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with each channel's μ and σ² over the batch and its pixels

    In training they are the batch's own, and `mean` and `variance` follow them as running averages
    that move by `momentum`; in evaluation these take their place. The running variance is the
    unbiased one, over n − 1. (Ioffe & Szegedy 2015)
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        if not 0 < momentum <= 1:
            raise ValueError(
                f"BatchNorm: expected `momentum` above 0 and up to 1, got {momentum!r}"
            )
        self.momentum = float(momentum)
        self.mean, self.variance = xp.zeros(channels, "f4"), xp.ones(channels, "f4")

    def forward(self, x: Any) -> Tensor:
        x, C = self._checked(x, least=2), self.gamma.shape[0]
        if not self.training:
            scale = self.gamma * (1 / xp.sqrt(self.variance + self.eps))
            shift = self.beta - self.mean * scale
            return x * scale + shift
        n = math.prod(x.shape[:-1])
        if n < 2:
            raise ValueError(
                f"BatchNorm: expected more than one entry for each channel in "
                f"training, got `x` of shape {x.shape}; in evaluation, call "
                f"eval() first"
            )
        column = (C, 1)
        y, mu, variance = normalise(
            reshape(x, (1, n, *column)),
            reshape(self.gamma, column),
            reshape(self.beta, column),
            self.eps,
        )
        self.mean = self._follow(self.mean, mu.reshape(C))
        self.variance = self._follow(self.variance, variance.reshape(C) * (n / (n - 1)))
        return reshape(y, x.shape)

    def _follow(self, average: Array, new: Array) -> Array:
        # not in place: the graph of an evaluation may still need the old one
        return (average + self.momentum * (new - average)).astype(average.dtype, copy=False)


class GroupNorm(_Norm):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ and σ² over a group of channels of one image

    One group is layer normalisation over a whole image, a group for each channel is instance
    normalisation. It does the same in training and evaluation. (Wu & He 2018)
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)
        if not isinstance(groups, (int, np.integer)) or groups < 1 or channels % groups:
            raise ValueError(
                f"GroupNorm: expected `groups` to divide {channels} channels, got {groups!r}"
            )
        self.groups = int(groups)

    def forward(self, x: Any) -> Tensor:
        x, C = self._checked(x, least=2), self.gamma.shape[0]
        group = (self.groups, C // self.groups)
        view = (x.shape[0], math.prod(x.shape[1:-1]), *group)
        y, _, _ = normalise(
            reshape(x, view), reshape(self.gamma, group), reshape(self.beta, group), self.eps
        )
        return reshape(y, x.shape)


class LayerNorm(_Norm):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with μ and σ² over the channels. (Ba et al. 2016)"""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps)

    def forward(self, x: Any) -> Tensor:
        x, C = self._checked(x, least=1), self.gamma.shape[0]
        row = (1, C)
        y, _, _ = normalise(
            reshape(x, (math.prod(x.shape[:-1]), 1, *row)),
            reshape(self.gamma, row),
            reshape(self.beta, row),
            self.eps,
        )
        return reshape(y, x.shape)


class SpectralNorm(Module):
    """The layer with W / σ for its weight, where σ is the largest factor by which W stretches

    A dense layer f then has |f(x) − f(y)| ≤ |x − y|. W is the weight as a matrix with a column for
    each output. σ = |W v| is found by power iteration, v ← Wᵀ W v brought to length 1: in training
    each call goes on from the last v, by `iterations` steps. The gradient is that of what was
    computed, iteration included; once v has converged it is σ̄ u vᵀ. (Miyato et al. 2018)
    """

    def __init__(self, layer: Module, iterations: int = 1, *, rng: Rng) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim < 2:
            raise TypeError(
                f"SpectralNorm: expected a layer with a `weight` of two axes or more, "
                f"got {type(layer).__name__}"
            )
        whole("SpectralNorm", 1, iterations=iterations)
        self.layer, self.iterations = layer, int(iterations)
        v = generator("SpectralNorm", rng).standard_normal((self._matrix(weight).shape[1], 1))
        self.v = xp.asarray(v / np.linalg.norm(v), weight.dtype)

    def _matrix(self, weight: Tensor) -> Tensor:
        if isinstance(self.layer, ConvTranspose2d):  # (K, L, outputs, inputs)
            weight = swapaxes(weight, -1, -2)
        return reshape(weight, (-1, weight.shape[-1]))

    def forward(self, x: Any) -> Any:
        weight = self.layer.weight  # type: ignore[attr-defined]
        W = self._matrix(weight)
        v: Any = self.v  # an array, so that it takes the dtype of W
        for _ in range(self.iterations if self.training else 0):
            v = _unit(matmul(W.T, matmul(W, v)))
        sigma = _norm(matmul(W, v))
        if self.training:
            self.v = v.data.astype(self.v.dtype, copy=False)
        self.layer.weight = weight / sigma  # type: ignore[attr-defined]
        try:
            return self.layer(x)
        finally:
            self.layer.weight = weight  # type: ignore[attr-defined]


def _norm(x: Tensor) -> Tensor:
    return (sum_over(x * x) + 1e-12) ** 0.5


def _unit(x: Tensor) -> Tensor:
    return x / _norm(x)
