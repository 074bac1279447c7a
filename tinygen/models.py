r"""The networks that the model families of this library are tried with.

Each is a function of a few numbers that returns a Module; images are (N, H, W, C). Convolutions
halve or double the pixels, so an image of 28 × 28 goes by 14 down to 7, and one of 64 × 64 by
32, 16 and 8 down to 4: `halvings` says how far. The classic networks of articles and courses, by the
number, are in classics.py.

Reading order: `mlp`; the DCGAN pair; the convolutional encoder and decoder; the U-Net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygen.arrange import concat
from tinygen.attention import SelfAttention
from tinygen.conv import Pair
from tinygen.initial import Initialiser, he_normal, normal, zeros
from tinygen.layers import (
    Conv2d,
    ConvTranspose2d,
    Dense,
    Embedding,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    SinusoidalEmbedding,
    Tanh,
)
from tinygen.module import Module, Sequential
from tinygen.norms import BatchNorm, GroupNorm
from tinygen.ops import relu, silu
from tinygen.pooling import upsample2d
from tinygen.tensor import Tensor, as_alike, reshape

__all__ = ["UNet", "conv_decoder", "conv_encoder", "dcgan_discriminator", "dcgan_generator", "mlp"]

ImageShape: TypeAlias = tuple[int, int, int]  # H, W, C


def mlp(
    sizes: Sequence[int],
    activation: Callable[[Any], Any] = relu,
    output: Callable[[Any], Any] | None = None,
    *,
    rng: np.random.Generator,
    init: Initialiser = he_normal,
) -> Sequential:
    """Dense layers of these sizes, inputs first, with an activation between each two"""
    if len(sizes) < 2:
        raise ValueError(f"mlp: expected two `sizes` or more, inputs first, got {sizes!r}")
    layers: list[Any] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [Dense(inputs, outputs, rng=rng, init=init), activation]
    return Sequential(*layers[:-1], *([] if output is None else [output]))


def halvings(image: ImageShape) -> list[Pair]:
    """The sizes of an image halved while both sides are even and above 4, the largest first."""
    H, W, _ = image
    sizes = [(H, W)]
    while H % 2 == W % 2 == 0 and min(H, W) > 4:
        H, W = H // 2, W // 2
        sizes.append((H, W))
    if len(sizes) < 2:
        raise ValueError(f"expected an image whose sides are even and above 4, got {image}")
    return sizes


# --- DCGAN (Radford et al. 2016): all convolutions, batch norm between, weights from N(0, 0.02²) ---


def dcgan_generator(
    image: ImageShape = (28, 28, 1),
    latent: int = 100,
    width: int = 64,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, latent) → (N, H, W, C) in [−1, 1]; the channels halve, down to `width`, as pixels double"""
    (H, W), *_ = sizes = halvings(image)[::-1]
    channels = [width << i for i in range(len(sizes) - 1)][::-1]
    init = normal(0.02)
    layers: list[Any] = [
        Dense(latent, H * W * channels[0], rng=rng, init=init, bias=False),
        Reshape(H, W, channels[0]),
        BatchNorm(channels[0]),
        ReLU(),
    ]
    for inputs, outputs in zip(channels, channels[1:], strict=False):
        layers += [
            ConvTranspose2d(inputs, outputs, 4, 2, 1, rng=rng, init=init, bias=False),
            BatchNorm(outputs),
            ReLU(),
        ]
    last = ConvTranspose2d(channels[-1], image[2], 4, 2, 1, rng=rng, init=init)
    return Sequential(*layers, last, Tanh())


def dcgan_discriminator(
    image: ImageShape = (28, 28, 1),
    width: int = 64,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, H, W, C) → (N, 1), the logit of being real; channels double as the pixels halve"""
    (H, W), sizes = halvings(image)[-1], halvings(image)
    channels = [image[2]] + [width << i for i in range(len(sizes) - 1)]
    init = normal(0.02)
    layers: list[Any] = []
    for i, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
        first = i == 0  # the images themselves are not normalised
        layers += [Conv2d(inputs, outputs, 4, 2, 1, rng=rng, init=init, bias=first)]
        layers += [] if first else [BatchNorm(outputs)]
        layers += [LeakyReLU(0.2)]
    return Sequential(*layers, Flatten(), Dense(H * W * channels[-1], 1, rng=rng, init=init))


# --- a convolutional encoder and decoder ----------------------------------------------------------


def conv_encoder(
    image: ImageShape = (28, 28, 1),
    outputs: int = 32,
    width: int = 32,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, H, W, C) → (N, outputs); channels double as the pixels halve"""
    sizes = halvings(image)
    (H, W), channels = sizes[-1], [image[2]] + [width << i for i in range(len(sizes) - 1)]
    layers: list[Any] = []
    for a, b in zip(channels, channels[1:], strict=False):
        layers += [Conv2d(a, b, 4, 2, 1, rng=rng, init=he_normal), ReLU()]
    return Sequential(*layers, Flatten(), Dense(H * W * channels[-1], outputs, rng=rng))


def conv_decoder(
    image: ImageShape = (28, 28, 1),
    latent: int = 16,
    width: int = 32,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, latent) → (N, H, W, C), the encoder's layers the other way round; without a last σ"""
    sizes = halvings(image)
    (H, W), channels = sizes[-1], [image[2]] + [width << i for i in range(len(sizes) - 1)]
    layers: list[Any] = [
        Dense(latent, H * W * channels[-1], rng=rng, init=he_normal),
        Reshape(H, W, channels[-1]),
    ]
    for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True):
        layers += [ReLU(), ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=he_normal)]
    return Sequential(*layers)


# --- the U-Net of diffusion models (Ho et al. 2020) -----------------------------------------------


class Block(Module):
    """x + f(x, t), where f is norm, SiLU, convolution, twice, with the time's embedding between

    With `heads` above 0, attention over all pixels is added likewise. Both begin as x + 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedded: int,
        groups: int = 8,
        heads: int = 0,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.norm1, self.norm2 = GroupNorm(groups, inputs), GroupNorm(groups, outputs)
        self.conv1 = Conv2d(inputs, outputs, 3, 1, 1, rng=rng)
        self.time = Dense(embedded, outputs, rng=rng)
        self.conv2 = Conv2d(outputs, outputs, 3, 1, 1, rng=rng, init=zeros)
        self.skip = Conv2d(inputs, outputs, 1, rng=rng) if inputs != outputs else None
        self.attention = None
        if heads:
            self.norm3 = GroupNorm(groups, outputs)
            self.attention = SelfAttention(outputs, heads, rng=rng)

    def forward(self, x: Any, t: Any) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        h = h + reshape(self.time(t), (len(x), 1, 1, h.shape[-1]))
        h = self.conv2(silu(self.norm2(h)))
        h = h + (x if self.skip is None else self.skip(x))
        if self.attention is not None:
            h = h + self.attention(self.norm3(h))
        return h  # type: ignore[no-any-return]


class Level(Module):
    """Blocks, the network `below` on half the pixels, and blocks that see what the first ones left"""

    def __init__(
        self,
        channels: int,
        below: Module,
        channels_below: int,
        blocks: Callable[[int, int], Module],
        depth: int,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.down = [blocks(channels, channels) for _ in range(depth)]
        self.shrink = Conv2d(channels, channels_below, 3, 2, ((0, 1), (0, 1)), rng=rng)
        self.below = below
        self.grow = Conv2d(channels_below, channels, 3, 1, 1, rng=rng)
        self.up = [blocks(2 * channels, channels) for _ in range(depth)]

    def forward(self, x: Any, t: Any) -> Any:
        left = []
        for block in self.down:
            x = block(x, t)
            left.append(x)
        x = self.grow(upsample2d(self.below(self.shrink(x), t)))
        for block in self.up:
            x = block(concat([x, left.pop()], axis=-1), t)
        return x


class Bottom(Module):
    """Blocks and nothing below"""

    def __init__(self, channels: int, blocks: Callable[[int, int], Module], depth: int) -> None:
        self.blocks = [blocks(channels, channels) for _ in range(2 * depth)]

    def forward(self, x: Any, t: Any) -> Any:
        for block in self.blocks:
            x = block(x, t)
        return x


class UNet(Module):
    """(N, H, W, C) images and (N,) times, with (N,) classes if there are any → (N, H, W, C)

    Level i has width · multipliers[i] channels and half the pixels of the one above, with `depth`
    blocks on the way down and on the way up. Where images have a height in `attention_at`, blocks
    attend.

    Times are told apart on a scale of 1 to 10,000: multiply those from [0, 1] by 1000. The class
    number `classes` means "any". The last convolution begins at zero, and so does the output.
    """

    def __init__(
        self,
        image: ImageShape = (28, 28, 1),
        width: int = 32,
        multipliers: Sequence[int] = (1, 2, 2),
        depth: int = 1,
        attention_at: Sequence[int] = (7,),
        classes: int | None = None,
        heads: int = 4,
        groups: int = 8,
        *,
        rng: np.random.Generator,
    ) -> None:
        H, W, C = image
        heights = [H >> i for i in range(len(multipliers))]
        if depth < 1 or not heights or any(n % (H // heights[-1]) for n in (H, W)):
            raise ValueError(f"UNet: expected `depth` ≥ 1 and sides that can be halved "
                             f"{len(multipliers) - 1} times, got depth {depth} and image "
                             f"{image}")  # fmt: skip
        if not set(attention_at) <= set(heights):
            raise ValueError(f"UNet: expected `attention_at` to name heights among {heights}, got "
                             f"{tuple(attention_at)}")  # fmt: skip
        embedded = 4 * width

        def blocks(height: int) -> Callable[[int, int], Module]:
            attending = heads if height in attention_at else 0
            return lambda a, b: Block(a, b, embedded, groups, attending, rng=rng)

        self.embed_time = Sequential(
            SinusoidalEmbedding(width),
            Dense(width, embedded, rng=rng), silu, Dense(embedded, embedded, rng=rng),
        )  # fmt: skip
        self.embed_class = None if classes is None else Embedding(classes + 1, embedded, rng=rng)
        self.stem = Conv2d(C, width * multipliers[0], 3, 1, 1, rng=rng)
        channels = [width * m for m in multipliers]
        net: Module = Bottom(channels[-1], blocks(heights[-1]), depth)
        for i in reversed(range(len(channels) - 1)):
            net = Level(channels[i], net, channels[i + 1], blocks(heights[i]), depth, rng=rng)
        self.levels = net
        self.norm = GroupNorm(groups, channels[0])
        self.head = Conv2d(channels[0], C, 3, 1, 1, rng=rng, init=zeros)

    def forward(self, x: Any, t: Any, classes: Any = None) -> Tensor:
        x, t, _ = as_alike("UNet", x, t, self.stem.weight)
        if t.shape != x.shape[:1]:
            raise ValueError(f"expected a time for each of {len(x)} images, got {t.shape}")
        if (classes is None) != (self.embed_class is None):
            raise ValueError(f"expected {'no ' if self.embed_class is None else ''}`classes`, got "
                             f"{classes!r}")  # fmt: skip
        e = self.embed_time(t)
        if self.embed_class is not None:
            e = e + self.embed_class(classes)
        h = self.levels(self.stem(x), silu(e))
        return self.head(silu(self.norm(h)))  # type: ignore[no-any-return]
