r"""Layers: the engine's operations as modules, with their parameters.

Features and channels are the last axis: x is (…, C) for dense layers, (N, H, W, C) for images.
Weights are sampled from `rng` by `init`, biases start at zero; all are float32.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen import autograd
from tinygen._checks import expect, generator, whole
from tinygen._types import ArrayLike, Rng, Shape
from tinygen.autograd import Tensor, as_tensor, concat, cos, reshape, sin, xp
from tinygen.autograd.geometry import Padding, Size, pair_of
from tinygen.autograd.tensor import as_float
from tinygen.nn.initializers import Init, lecun_normal, normal
from tinygen.nn.module import Function, Module

__all__ = ["ELU", "GELU", "AvgPool2d", "Conv2d", "ConvTranspose2d", "Dense", "Dropout"]
__all__ += ["Embedding", "Flatten", "LeakyReLU", "MaxPool2d", "ReLU", "Reshape", "SiLU"]
__all__ += ["Sigmoid", "SinusoidalEmbedding", "Softmax", "Softplus", "Tanh", "Upsample"]

UNIT_NORMAL = normal(1.0)


def parameter(array: ArrayLike) -> Tensor:
    """A float32 Tensor that requires gradients."""
    return Tensor(np.asarray(array, np.float32), requires_grad=True)


class Dense(Module):
    """z = x W + b over the last axis, from `inputs` to `outputs` features"""

    def __init__(
        self, inputs: int, outputs: int, *, rng: Rng, init: Init = lecun_normal, bias: bool = True
    ) -> None:
        whole("Dense", 1, inputs=inputs, outputs=outputs)
        self.weight = parameter(init(generator("Dense", rng), (inputs, outputs), inputs, outputs))
        self.bias = parameter(np.zeros(outputs)) if bias else None

    def forward(self, x: ArrayLike) -> Tensor:
        return autograd.affine(x, self.weight, self.bias)

    def multiply_adds(self, x: Shape, z: Shape, *others: Shape) -> int:
        return math.prod(x) * z[-1]


class _Convolution(Module):
    """The weight (K, L, C, O) and bias of a convolution from C to O channels, or of its adjoint"""

    adjoint = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        *,
        rng: Rng,
        init: Init = lecun_normal,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        whole(name, 1, inputs=inputs, outputs=outputs)
        K, L = pair_of(name, "size", size, least=1)
        s, t = pair_of(name, "stride", stride, least=1)
        C, O = (outputs, inputs) if self.adjoint else (inputs, outputs)
        # in the backward pass only one in s t of the K L weights meets a given pixel
        fans = (K * L * C, K * L * O / (s * t))[:: -1 if self.adjoint else 1]
        self.stride, self.padding = stride, padding
        self.weight = parameter(init(generator(name, rng), (K, L, C, O), *fans))
        self.bias = parameter(np.zeros(outputs)) if bias else None

    def multiply_adds(self, x: Shape, z: Shape, *others: Shape) -> int:
        return math.prod(x if self.adjoint else z) * math.prod(self.weight.shape[:3])


class Conv2d(_Convolution):
    """y = x ∗ w + b, from `inputs` to `outputs` channels (see `tinygen.conv2d`)"""

    def forward(self, x: ArrayLike, *plus: ArrayLike) -> Tensor:
        """y plus other Tensors that broadcast to it, added in the same pass"""
        return autograd.conv2d(x, self.weight, self.stride, self.padding, bias=[self.bias, *plus])


class ConvTranspose2d(_Convolution):
    """The adjoint of a convolution whose weight is (K, L, outputs, inputs), plus b"""

    adjoint = True

    def forward(self, y: ArrayLike) -> Tensor:
        return autograd.conv_transpose2d(y, self.weight, self.stride, self.padding, bias=self.bias)


class Embedding(Module):
    """z = a learnt vector for each index: from (…) indices below `count` to (…, features)"""

    def __init__(self, count: int, features: int, *, rng: Rng, init: Init = UNIT_NORMAL) -> None:
        whole("Embedding", 1, count=count, features=features)
        w = init(generator("Embedding", rng), (count, features), count, features)
        self.weight = parameter(w)

    def forward(self, indices: ArrayLike) -> Tensor:
        i, n = as_tensor(indices).data, self.weight.shape[0]
        if i.dtype.kind not in "iu":
            raise TypeError(f"Embedding: expected integer indices, got dtype {i.dtype}")
        if i.size and not 0 <= i.min() <= i.max() < n:
            raise ValueError(f"Embedding: expected 0 ≤ index < {n}, got {i.min()} to {i.max()}")
        return self.weight[i]


class SinusoidalEmbedding(Module):
    """z = (sin t fᵢ, cos t fᵢ), with fᵢ from 1 down to 1/`longest`. (Vaswani et al. 2017)"""

    def __init__(self, features: int, longest: float = 10_000.0) -> None:
        whole("SinusoidalEmbedding", 4, features=features)
        if features % 2:
            raise ValueError(f"SinusoidalEmbedding: expected even `features`, got {features}")
        self.features, self.longest = int(features), float(longest)

    def forward(self, t: ArrayLike) -> Tensor:
        t = as_tensor(t)
        t = t if t.dtype.kind == "f" else t.astype(np.float32)
        half = self.features // 2
        f = xp.asarray(self.longest ** (-np.arange(half) / (half - 1)), t.dtype)
        angles = reshape(t, (*t.shape, 1)) * f  # (…, features / 2)
        return concat([sin(angles), cos(angles)], axis=-1)


class Dropout(Module):
    """In training, each element is set to 0 with probability p; the others are divided by 1 − p

    The mean equals evaluation's. Copy the state of `rng` to repeat a mask. (Srivastava et al. 2014)
    """

    def __init__(self, p: float = 0.5, *, rng: Rng) -> None:
        expect("Dropout", "in [0, 1)", p=p)
        self.p, self.rng = float(p), generator("Dropout", rng)

    def forward(self, x: ArrayLike) -> Tensor:
        x = as_float(x)
        if not self.training or not self.p:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.p
        return x * xp.asarray(kept / (1 - self.p), x.dtype)


class Reshape(Module):
    """(N, …) → (N, *shape)"""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: ArrayLike) -> Tensor:
        x = as_tensor(x)
        return reshape(x, (x.shape[0], *self.shape))


class Flatten(Module):
    """(N, …) → (N, features)"""

    def forward(self, x: ArrayLike) -> Tensor:
        x = as_tensor(x)
        return reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class _Operation(Function):
    """A function as a layer; arguments after x are its settings."""

    of: Callable[..., Tensor]

    def __init__(self, *settings: Any, **options: Any) -> None:
        call = inspect.signature(self.of).bind(None, *settings, **options)
        call.apply_defaults()
        _, *values = call.arguments.items()
        super().__init__(self.of, **dict(values))


def _layer(name: str, function: Callable[..., Tensor], equation: str) -> type[_Operation]:
    body = {"of": staticmethod(function), "__doc__": equation, "__module__": __name__}
    return type(name, (_Operation,), body)


Upsample = _layer("Upsample", autograd.upsample2d, "Every pixel repeated factor × factor times")
MaxPool2d = _layer("MaxPool2d", autograd.max_pool2d, "The maximum over each patch")
AvgPool2d = _layer("AvgPool2d", autograd.avg_pool2d, "The mean over each patch")

ReLU = _layer("ReLU", autograd.relu, "max(x, 0)")
LeakyReLU = _layer("LeakyReLU", autograd.leaky_relu, "x where x > 0, else slope · x")
ELU = _layer("ELU", autograd.elu, "x where x > 0, else α (eˣ − 1)")
SiLU = _layer("SiLU", autograd.silu, "x σ(x)")
GELU = _layer("GELU", autograd.gelu, "x Φ(x)")
Softplus = _layer("Softplus", autograd.softplus, "log(1 + eˣ)")
Sigmoid = _layer("Sigmoid", autograd.sigmoid, "1 / (1 + e⁻ˣ)")
Tanh = _layer("Tanh", autograd.tanh, "tanh x")
Softmax = _layer("Softmax", autograd.softmax, "eˣ / Σ eˣ over an axis")
