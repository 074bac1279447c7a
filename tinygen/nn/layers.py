r"""Layers: the operations of the engine with parameters of their own.

Features and channels are the last axis throughout: x is (…, C) for dense layers, (N, H, W, C) for
images. Weights are drawn from `rng`, a NumPy Generator, by the initialiser `init`; biases begin at
zero. Parameters are float32; `model.astype(float)` converts them.

Reading order: with parameters; without; activations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._random import generator
from tinygen._types import Rng, Shape
from tinygen.autograd import (
    Tensor,
    affine,
    as_tensor,
    avg_pool2d,
    concat,
    conv2d,
    conv_transpose2d,
    cos,
    elu,
    gelu,
    leaky_relu,
    max_pool2d,
    relu,
    reshape,
    sigmoid,
    silu,
    sin,
    softmax,
    softplus,
    tanh,
    upsample2d,
    xp,
)
from tinygen.autograd.geometry import Padding, Size, pair_of
from tinygen.autograd.tensor import as_float
from tinygen.nn.initializers import Initialiser, lecun_normal, normal
from tinygen.nn.module import Function, Module

__all__ = [
    "ELU",
    "GELU",
    "AvgPool2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "LeakyReLU",
    "MaxPool2d",
    "ReLU",
    "Reshape",
    "SiLU",
    "Sigmoid",
    "SinusoidalEmbedding",
    "Softmax",
    "Softplus",
    "Tanh",
    "Upsample",
]


def parameter(array: Any) -> Tensor:
    """What a layer learns: float32, and differentiated with respect to."""
    return Tensor(np.asarray(array, np.float32), requires_grad=True)


STANDARD_NORMAL = normal(1.0)


# --- with parameters ------------------------------------------------------------------------------


class Dense(Module):
    """z = x W + b over the last axis, from `inputs` to `outputs` features"""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rng: Rng,
        init: Initialiser = lecun_normal,
        bias: bool = True,
    ) -> None:
        whole("Dense", 1, inputs=inputs, outputs=outputs)
        self.weight = parameter(init(generator("Dense", rng), (inputs, outputs), inputs, outputs))
        self.bias = parameter(np.zeros(outputs)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return affine(x, self.weight, self.bias)

    def multiply_adds(self, x: Shape, z: Shape) -> int:
        return math.prod(x) * z[-1]


class Conv2d(Module):
    """y = x ∗ w + b, from `inputs` to `outputs` channels (see `tinygen.conv2d`)

    With stride s only one in s² of the K × L entries meets a given pixel, hence its fan-out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        *,
        rng: Rng,
        init: Initialiser = lecun_normal,
        bias: bool = True,
    ) -> None:
        whole("Conv2d", 1, inputs=inputs, outputs=outputs)
        K, L = pair_of("Conv2d", "size", size, least=1)
        s, t = pair_of("Conv2d", "stride", stride, least=1)
        shape, fans = (K, L, inputs, outputs), (K * L * inputs, K * L * outputs / (s * t))
        self.stride, self.padding = stride, padding
        self.weight = parameter(init(generator("Conv2d", rng), shape, *fans))
        self.bias = parameter(np.zeros(outputs)) if bias else None

    def forward(self, x: Any, *plus: Any) -> Tensor:
        """With `plus`, Tensors that broadcast to the result, these are added in the same pass"""
        return conv2d(x, self.weight, self.stride, self.padding, bias=[self.bias, *plus])

    def multiply_adds(self, x: Shape, z: Shape) -> int:
        K, L, C, _ = self.weight.shape
        return math.prod(z) * K * L * C


class ConvTranspose2d(Module):
    """The adjoint of a convolution plus b, from `inputs` to `outputs` channels

    Its weight is that of the convolution whose shapes it undoes, (K, L, outputs, inputs). Of the
    K × L entries only one in s² meets a given output pixel, hence its fan-in.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        *,
        rng: Rng,
        init: Initialiser = lecun_normal,
        bias: bool = True,
    ) -> None:
        whole("ConvTranspose2d", 1, inputs=inputs, outputs=outputs)
        K, L = pair_of("ConvTranspose2d", "size", size, least=1)
        s, t = pair_of("ConvTranspose2d", "stride", stride, least=1)
        shape, fans = (K, L, outputs, inputs), (K * L * inputs / (s * t), K * L * outputs)
        self.stride, self.padding = stride, padding
        self.weight = parameter(init(generator("ConvTranspose2d", rng), shape, *fans))
        self.bias = parameter(np.zeros(outputs)) if bias else None

    def forward(self, y: Any) -> Tensor:
        return conv_transpose2d(y, self.weight, self.stride, self.padding, bias=self.bias)

    def multiply_adds(self, x: Shape, z: Shape) -> int:
        K, L, C, _ = self.weight.shape
        return math.prod(x) * K * L * C


class Embedding(Module):
    """z = the learnt vector of each index: from (…) indices below `count` to (…, features)"""

    def __init__(
        self, count: int, features: int, *, rng: Rng, init: Initialiser = STANDARD_NORMAL
    ) -> None:
        whole("Embedding", 1, count=count, features=features)
        shape = (count, features)
        self.weight = parameter(init(generator("Embedding", rng), shape, count, features))

    def forward(self, indices: Any) -> Tensor:
        indices, count = as_tensor(indices).data, self.weight.shape[0]
        if indices.dtype.kind not in "iu":
            raise TypeError(
                f"Embedding: expected indices that are integers, got dtype {indices.dtype}"
            )
        if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < count:
            raise ValueError(
                f"Embedding: expected indices from 0 to {count - 1}, got some from "
                f"{int(indices.min())} to {int(indices.max())}"
            )
        return self.weight[indices]


# --- without parameters ---------------------------------------------------------------------------


class SinusoidalEmbedding(Module):
    """z = (sin t fᵢ, cos t fᵢ): a number t, such as a time, as waves of many lengths

    From shape (…) to (…, features), with fᵢ falling from 1 to 1/`longest`, evenly in logarithm.
    Nearby t have nearby z, and no two are the same. (Vaswani et al. 2017)
    """

    def __init__(self, features: int, longest: float = 10_000.0) -> None:
        if not isinstance(features, (int, np.integer)) or features < 4 or features % 2:
            raise ValueError(
                f"SinusoidalEmbedding: expected `features` to be an even int ≥ 4, got {features!r}"
            )
        self.features, self.longest = int(features), float(longest)

    def forward(self, t: Any) -> Tensor:
        t = as_tensor(t)
        t = t if t.dtype.kind == "f" else t.astype(np.float32)
        half = self.features // 2
        f = xp.asarray(self.longest ** (-np.arange(half) / (half - 1)), t.dtype)
        angles = reshape(t, (*t.shape, 1)) * f  # (…, features / 2)
        return concat([sin(angles), cos(angles)], axis=-1)


class Dropout(Module):
    """In training, each entry is set to 0 with probability p, and the others grow by 1/(1 − p)

    So that the mean stays what it is in evaluation, where nothing is dropped. (Srivastava et al.
    2014) The generator is kept: copy its state to drop the same entries again.
    """

    def __init__(self, p: float = 0.5, *, rng: Rng) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: expected `p` from 0 to below 1, got {p!r}")
        self.p, self.rng = float(p), generator("Dropout", rng)

    def forward(self, x: Any) -> Tensor:
        x = as_float(x)
        if not self.training or not self.p:
            return x
        kept = self.rng.random(x.shape, np.float32) >= self.p
        return x * xp.asarray(kept / (1 - self.p), x.dtype)


class Flatten(Module):
    """(N, …) → (N, all the rest)"""

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if not x.ndim:
            raise ValueError("Flatten: expected a batch, got a number")
        return reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Reshape(Module):
    """(N, …) → (N, *shape)"""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if not x.ndim or math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(
                f"Reshape: expected {math.prod(self.shape)} entries for each of a "
                f"batch, got `x` of shape {x.shape}"
            )
        return reshape(x, (x.shape[0], *self.shape))


class Upsample(Function):
    """Every pixel repeated factor × factor times"""

    def __init__(self, factor: Size = 2) -> None:
        super().__init__(upsample2d, factor=factor)


class MaxPool2d(Function):
    """The maximum over each patch"""

    def __init__(self, size: Size, stride: Size | None = None, padding: Padding = 0) -> None:
        super().__init__(max_pool2d, size=size, stride=stride, padding=padding)


class AvgPool2d(Function):
    """The mean over each patch"""

    def __init__(self, size: Size, stride: Size | None = None, padding: Padding = 0) -> None:
        super().__init__(avg_pool2d, size=size, stride=stride, padding=padding)


# --- activations: in a Sequential, the functions themselves do as well ----------------------------


class ReLU(Function):
    """max(x, 0)"""

    def __init__(self) -> None:
        super().__init__(relu)


class LeakyReLU(Function):
    """x where x > 0, else slope · x"""

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__(leaky_relu, slope=slope)


class ELU(Function):
    """x where x > 0, else α (eˣ − 1)"""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(elu, alpha=alpha)


class SiLU(Function):
    """x σ(x)"""

    def __init__(self) -> None:
        super().__init__(silu)


class GELU(Function):
    """x Φ(x)"""

    def __init__(self) -> None:
        super().__init__(gelu)


class Softplus(Function):
    """log(1 + eˣ)"""

    def __init__(self) -> None:
        super().__init__(softplus)


class Sigmoid(Function):
    """1 / (1 + e⁻ˣ)"""

    def __init__(self) -> None:
        super().__init__(sigmoid)


class Tanh(Function):
    """tanh x"""

    def __init__(self) -> None:
        super().__init__(tanh)


class Softmax(Function):
    """eˣ / Σ eˣ over an axis"""

    def __init__(self, axis: int = -1) -> None:
        super().__init__(softmax, axis=axis)
