r"""The networks that the model families of this library are tried with.

Each is a Module made from a few numbers. Images are (N, H, W, C). A network of images has levels:
from one to the next both sides halve and the channels grow. DCGANs, encoders and decoders go on
while both sides are even and above 4: from 28 × 28 by 14 to 7, from 64 × 64 by 32, 16 and 8 to 4.
A U-Net has as many levels as it is told. Networks of well-known articles, to the number, are in
classics.py.

Reading order: `mlp`; the DCGAN pair; the convolutional encoder and decoder; the U-Net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from tinygen.arrange import concat
from tinygen.attention import SelfAttention
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
    at_least_one,
)
from tinygen.module import Module, Sequential
from tinygen.norms import BatchNorm, GroupNorm
from tinygen.ops import relu, silu
from tinygen.pooling import upsample2d
from tinygen.tensor import Tensor, as_alike, as_tensor, reshape

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
    """Dense layers from sizes[0] inputs to sizes[-1] outputs, an activation between each two

    `output` is an activation after the last; there is none unless given.
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp: expected two `sizes` or more, inputs first, got {sizes!r}")
    layers: list[Any] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Dense(inputs, outputs, rng=rng, init=init), activation]
    return Sequential(*layers[:-1], *([] if output is None else [output]))


def image_shape(name: str, image: Any) -> ImageShape:
    ok = isinstance(image, (tuple, list)) and len(image) == 3
    if not ok or any(not isinstance(n, (int, np.integer)) or n < 1 for n in image):
        raise ValueError(f"{name}: expected `image` to be (height, width, channels), got {image!r}")
    H, W, C = image
    return H, W, C


def levels(name: str, image: ImageShape, width: int) -> tuple[int, int, list[int]]:
    """The last level's height and width, and the channels of all: the image's, `width`, twice …"""
    H, W, C = image_shape(name, image)
    channels = [C]
    while H % 2 == W % 2 == 0 and min(H, W) > 4:
        H, W = H // 2, W // 2
        channels.append(width)
        width *= 2
    if len(channels) < 2:
        raise ValueError(f"{name}: expected an `image` with sides that are even and above 4, got "
                         f"{image}")  # fmt: skip
    return H, W, channels


# --- DCGAN (Radford et al. 2016): convolutions, batch norm between, weights from N(0, 0.02²) ------


def dcgan_generator(
    image: ImageShape = (28, 28, 1),
    latent: int = 100,
    width: int = 64,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, latent) → (N, H, W, C) in [−1, 1]; channels halve, down to `width`, as sides double"""
    at_least_one("dcgan_generator", latent=latent, width=width)
    H, W, (C, *channels) = levels("dcgan_generator", image, width)
    init = normal(0.02)
    layers: list[Any] = [
        Dense(latent, H * W * channels[-1], rng=rng, init=init, bias=False),
        Reshape(H, W, channels[-1]),
        BatchNorm(channels[-1]),
        ReLU(),
    ]
    for a, b in pairwise(reversed(channels)):
        layers += [
            ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=init, bias=False),
            BatchNorm(b),
            ReLU(),
        ]
    return Sequential(*layers, ConvTranspose2d(width, C, 4, 2, 1, rng=rng, init=init), Tanh())


def dcgan_discriminator(
    image: ImageShape = (28, 28, 1),
    width: int = 64,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, H, W, C) → (N, 1), the logit of being real; channels double as the sides halve"""
    at_least_one("dcgan_discriminator", width=width)
    H, W, (C, *channels) = levels("dcgan_discriminator", image, width)
    init = normal(0.02)
    # no norm after the first: with one, says the paper, samples oscillate
    layers: list[Any] = [Conv2d(C, width, 4, 2, 1, rng=rng, init=init), LeakyReLU(0.2)]
    for a, b in pairwise(channels):
        layers += [
            Conv2d(a, b, 4, 2, 1, rng=rng, init=init, bias=False),
            BatchNorm(b),
            LeakyReLU(0.2),
        ]
    return Sequential(*layers, Flatten(), Dense(H * W * channels[-1], 1, rng=rng, init=init))


# --- a convolutional encoder and decoder ----------------------------------------------------------


def conv_encoder(
    image: ImageShape = (28, 28, 1),
    outputs: int = 32,
    width: int = 32,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, H, W, C) → (N, outputs); channels double, from `width` up, as the sides halve

    For a VAE `outputs` is twice the decoder's `latent`: means, and logarithms of variances.
    """
    at_least_one("conv_encoder", outputs=outputs, width=width)
    H, W, channels = levels("conv_encoder", image, width)
    layers: list[Any] = []
    for a, b in pairwise(channels):
        layers += [Conv2d(a, b, 4, 2, 1, rng=rng, init=he_normal), ReLU()]
    return Sequential(*layers, Flatten(), Dense(H * W * channels[-1], outputs, rng=rng))


def conv_decoder(
    image: ImageShape = (28, 28, 1),
    latent: int = 16,
    width: int = 32,
    *,
    rng: np.random.Generator,
) -> Sequential:
    """(N, latent) → (N, H, W, C), real numbers: the encoder's layers the other way round"""
    at_least_one("conv_decoder", latent=latent, width=width)
    H, W, channels = levels("conv_decoder", image, width)
    layers: list[Any] = [
        Dense(latent, H * W * channels[-1], rng=rng, init=he_normal),
        Reshape(H, W, channels[-1]),
    ]
    for a, b in pairwise(reversed(channels)):
        layers += [ReLU(), ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=he_normal)]
    return Sequential(*layers)


# --- the U-Net of diffusion models (Ho et al. 2020) -----------------------------------------------


class Block(Module):
    """x + f(x, e), where f is norm, SiLU, convolution, twice, and is told e between the two

    e embeds the time, and the class if there is one. With `heads` above 0, attention over all
    pixels is added likewise. What is added begins at zero. Where channels change, a convolution of
    1 × 1 brings x along.
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
        self.conv1 = Conv2d(inputs, outputs, 3, padding="same", rng=rng)
        self.embedding = Dense(embedded, outputs, rng=rng)
        self.conv2 = Conv2d(outputs, outputs, 3, padding="same", rng=rng, init=zeros)
        self.skip = Conv2d(inputs, outputs, 1, rng=rng) if inputs != outputs else None
        self.attention = None
        if heads:
            self.norm3 = GroupNorm(groups, outputs)
            self.attention = SelfAttention(outputs, heads, rng=rng)
            self.attention.mix = Dense(outputs, outputs, rng=rng, init=zeros)

    def forward(self, x: Any, e: Any) -> Tensor:
        told = self.embedding(e)
        h = self.conv1(silu(self.norm1(x)), reshape(told, (len(x), 1, 1, told.shape[-1])))
        h = self.conv2(silu(self.norm2(h)), x if self.skip is None else self.skip(x))
        if self.attention is not None:
            h = h + self.attention(self.norm3(h))
        return h  # type: ignore[no-any-return]


class Level(Module):
    """Blocks, the network `below` on halved sides, and blocks that see what the first ones left"""

    def __init__(
        self,
        channels: int,
        below: Module,
        channels_below: int,
        block: Callable[[int, int], Module],
        depth: int,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.down = [block(channels, channels) for _ in range(depth)]
        self.shrink = Conv2d(channels, channels_below, 3, 2, "same", rng=rng)
        self.below = below
        self.grow = Conv2d(channels_below, channels, 3, padding="same", rng=rng)
        self.up = [block(2 * channels, channels) for _ in range(depth)]

    def forward(self, x: Any, e: Any) -> Any:
        left = []
        for block in self.down:
            x = block(x, e)
            left.append(x)
        x = self.grow(upsample2d(self.below(self.shrink(x), e)))
        for block in self.up:
            x = block(concat([x, left.pop()], axis=-1), e)
        return x


class Bottom(Module):
    """The lowest level: as many blocks, and nothing below"""

    def __init__(self, channels: int, block: Callable[[int, int], Module], depth: int) -> None:
        self.blocks = [block(channels, channels) for _ in range(2 * depth)]

    def forward(self, x: Any, e: Any) -> Any:
        for block in self.blocks:
            x = block(x, e)
        return x


class UNet(Module):
    """(N, H, W, C) images, (N,) times and, if made for them, (N,) classes → (N, H, W, C)

    Level i has width · multipliers[i] channels and sides half as long as the one above, and `depth`
    blocks on the way down and on the way up. On levels of a height in `attention_at` they attend.

    Times are told apart on a scale of 1 to 10,000: multiply those from [0, 1] by 1000. Classes are
    numbers from 0, and the number `classes` means "any". The output begins at zero.
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
        self.image = H, W, C = image_shape("UNet", image)
        at_least_one("UNet", depth=depth, classes=1 if classes is None else classes, heads=heads,
                     **{f"multipliers[{i}]": m for i, m in enumerate(multipliers)})  # fmt: skip
        if not isinstance(width, (int, np.integer)) or width < 4 or width % 2:
            raise ValueError(f"UNet: expected `width` to be an even int ≥ 4, got {width!r}")
        if not multipliers:
            raise ValueError(f"UNet: expected one of `multipliers` or more, got {multipliers!r}")
        halvings = len(multipliers) - 1
        if H % 2**halvings or W % 2**halvings:
            raise ValueError(f"UNet: expected an `image` whose sides halve {halvings} times, for "
                             f"{halvings + 1} `multipliers`, got {image}")  # fmt: skip
        heights = [H >> i for i in range(halvings + 1)]
        if not isinstance(attention_at, Sequence) or not set(attention_at) <= set(heights):
            raise ValueError(f"UNet: expected `attention_at` to list some of the heights "
                             f"{heights}, got {attention_at!r}")  # fmt: skip
        channels, embedded = [width * m for m in multipliers], 4 * width

        def block_at(height: int) -> Callable[[int, int], Module]:
            attending = heads if height in attention_at else 0
            return lambda a, b: Block(a, b, embedded, groups, attending, rng=rng)

        self.embed_time = Sequential(
            SinusoidalEmbedding(width),
            Dense(width, embedded, rng=rng), silu, Dense(embedded, embedded, rng=rng),
        )  # fmt: skip
        self.embed_class = None if classes is None else Embedding(classes + 1, embedded, rng=rng)
        self.stem = Conv2d(C, channels[0], 3, padding="same", rng=rng)
        net: Module = Bottom(channels[-1], block_at(heights[-1]), depth)
        for i in reversed(range(halvings)):
            net = Level(channels[i], net, channels[i + 1], block_at(heights[i]), depth, rng=rng)
        self.levels = net
        self.norm = GroupNorm(groups, channels[0])
        self.head = Conv2d(channels[0], C, 3, padding="same", rng=rng, init=zeros)

    def forward(self, x: Any, t: Any, classes: Any = None) -> Tensor:
        x, t, _ = as_alike("images and times", x, t, self.stem.weight)
        if x.shape[1:] != self.image:
            raise ValueError(f"expected `x` of shape (N, {', '.join(map(str, self.image))}), got "
                             f"{x.shape}")  # fmt: skip
        if t.shape != x.shape[:1]:
            raise ValueError(f"expected `t` of shape {x.shape[:1]}, a time for each image, got "
                             f"{t.shape}")  # fmt: skip
        e = self.embed_time(t)
        if self.embed_class is not None:
            if classes is None:
                raise ValueError("expected `classes`, one for each image, got none")
            classes = as_tensor(classes)
            if classes.shape != t.shape:
                raise ValueError(f"expected `classes` of shape {t.shape}, one for each image, got "
                                 f"{classes.shape}")  # fmt: skip
            e = e + self.embed_class(classes)
        elif classes is not None:
            raise ValueError("expected no `classes`: this network was made without")
        h = self.levels(self.stem(x), silu(e))
        return self.head(silu(self.norm(h)))  # type: ignore[no-any-return]
