"""Every layer, small, with an input for it.

The tests of layers run over this table: gradients to order 2 in training and evaluation, dtypes,
state. A new layer is one more row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import Tensor, nn

Rng = np.random.Generator


class Layer(NamedTuple):
    name: str
    make: Callable[[Rng], nn.Module]
    draw: Callable[[Rng], np.ndarray]  # an input

    def drawn(self, seed: int = 0) -> tuple[nn.Module, np.ndarray]:
        """The layer as after some training, in float32, and an input.

        All its parameters have left where they began, and have been called with something else.
        """
        rng = np.random.default_rng(seed)
        layer, other, x = self.make(rng), self.draw(rng), self.draw(rng)
        for parameter in layer.parameters():
            parameter.data = parameter.data + tg.xp.asarray(
                0.3 * rng.standard_normal(parameter.shape), parameter.dtype
            )
        layer(tg.xp.asarray(other))
        return layer, x


class ToItsStart(nn.Module):
    """Cross-attention from x to three features of its first two positions"""

    def __init__(self, rng: Rng) -> None:
        self.layer = nn.CrossAttention(4, 3, 2, rng=rng)

    def forward(self, x: Any) -> Tensor:
        return self.layer(x, x[:, :2, :3])


TABLE: list[Layer] = []


def add(name: str, make: Callable[[Rng], nn.Module], draw: Any) -> None:
    """`draw` may be the shape of normally distributed entries, none of them near 0."""
    if isinstance(draw, tuple):
        shape = draw

        def draw(rng: Rng) -> np.ndarray:
            x = rng.standard_normal(shape)
            return np.where(x < 0, x - 0.1, x + 0.1)

    TABLE.append(Layer(name, make, draw))


# --- with parameters ---

add("Dense", lambda rng: nn.Dense(3, 2, rng=rng), (4, 3))
add("Dense without bias", lambda rng: nn.Dense(3, 2, rng=rng, bias=False), (2, 2, 3))
add("Conv2d", lambda rng: nn.Conv2d(2, 3, 3, 2, 1, rng=rng), (2, 4, 3, 2))
add(
    "Conv2d, same, without bias",
    lambda rng: nn.Conv2d(2, 2, (2, 3), 1, "same", rng=rng, bias=False),
    (2, 3, 2, 2),
)
add("ConvTranspose2d", lambda rng: nn.ConvTranspose2d(2, 1, (4, 3), 2, 1, rng=rng), (2, 2, 2, 2))
add(
    "ConvTranspose2d, stride above its size, without bias",
    lambda rng: nn.ConvTranspose2d(2, 3, (1, 2), 3, rng=rng, bias=False),
    (1, 2, 2, 2),
)
add("Embedding", lambda rng: nn.Embedding(5, 3, rng=rng), lambda rng: rng.integers(0, 5, (3, 2)))
add("CrossAttention", lambda rng: ToItsStart(rng), (2, 3, 4))
add("SelfAttention", lambda rng: nn.SelfAttention(4, 2, rng=rng), (2, 3, 4))
add("SelfAttention of pixels", lambda rng: nn.SelfAttention(2, rng=rng), (2, 2, 2, 2))

# --- norms ---

add("BatchNorm", lambda rng: nn.BatchNorm(3), (5, 3))
add("BatchNorm of images", lambda rng: nn.BatchNorm(2), (2, 3, 2, 2))
add("GroupNorm", lambda rng: nn.GroupNorm(2, 4), (2, 2, 2, 4))
add("GroupNorm with a group for each channel", lambda rng: nn.GroupNorm(2, 2), (2, 2, 3, 2))
add("LayerNorm", lambda rng: nn.LayerNorm(4), (2, 3, 4))
add("SpectralNorm of Dense", lambda rng: nn.SpectralNorm(nn.Dense(3, 2, rng=rng), rng=rng), (4, 3))
add(
    "SpectralNorm of Conv2d",
    lambda rng: nn.SpectralNorm(nn.Conv2d(2, 3, 2, rng=rng), 2, rng=rng),
    (1, 3, 3, 2),
)
add(
    "SpectralNorm of ConvTranspose2d",
    lambda rng: nn.SpectralNorm(nn.ConvTranspose2d(2, 3, 2, rng=rng), rng=rng),
    (1, 2, 3, 2),
)

# --- without parameters ---

add("SinusoidalEmbedding", lambda rng: nn.SinusoidalEmbedding(6), (2, 3))
add("Dropout", lambda rng: nn.Dropout(0.4, rng=rng), (4, 5))
add("Flatten", lambda rng: nn.Flatten(), (2, 3, 2, 2))
add("Reshape", lambda rng: nn.Reshape(2, 3), (2, 6))
add("Upsample", lambda rng: nn.Upsample((2, 3)), (2, 2, 2, 2))
add("MaxPool2d", lambda rng: nn.MaxPool2d(3, 2, 1), (2, 4, 4, 2))
add("AvgPool2d", lambda rng: nn.AvgPool2d(2), (2, 4, 4, 2))
add("ReLU", lambda rng: nn.ReLU(), (3, 4))
add("LeakyReLU", lambda rng: nn.LeakyReLU(0.2), (3, 4))
add("ELU", lambda rng: nn.ELU(0.7), (3, 4))
add("SiLU", lambda rng: nn.SiLU(), (3, 4))
add("GELU", lambda rng: nn.GELU(), (3, 4))
add("Softplus", lambda rng: nn.Softplus(), (3, 4))
add("Sigmoid", lambda rng: nn.Sigmoid(), (3, 4))
add("Tanh", lambda rng: nn.Tanh(), (3, 4))
add("Softmax", lambda rng: nn.Softmax(), (3, 4))
add("Softmax along the batch", lambda rng: nn.Softmax(axis=0), (3, 4))

# --- what holds others ---

add("Function", lambda rng: nn.Function(tg.clip, low=-1.0, high=2.0), (3, 4))
add(
    "Sequential",
    lambda rng: nn.Sequential(nn.Dense(3, 4, rng=rng), tg.tanh, nn.LayerNorm(4)),
    (2, 3),
)


def repeatable(model: nn.Module) -> Callable[..., Tensor]:
    """`model`, but what a call leaves behind (a generator's state, v) is put back before each."""
    modules = [module for _, module in model.named_modules()]
    states = [(m, m.rng.bit_generator.state) for m in modules if isinstance(m, nn.Dropout)]
    vectors = [(m, m.v) for m in modules if isinstance(m, nn.SpectralNorm)]

    def call(x: Any) -> Tensor:
        for dropout, state in states:
            dropout.rng.bit_generator.state = state
        for norm, v in vectors:
            norm.v = v
        return model(x if isinstance(x, Tensor) else tg.xp.asarray(x))

    return call
