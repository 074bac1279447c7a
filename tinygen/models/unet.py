r"""The U-Net of diffusion models (Ho et al. 2020): an image and a time go in, an image comes out.

It has levels, each on sides half as long as those of the one above, with more channels. On the way
down an image loses its fine detail, and what it was is left beside; on the way up it gets it back.
So every output pixel depends on all of the image, and still on its own pixel directly.

Reading order: `Block`; `Level`, and `Bottom`, which end the recursion; `UNet`; `Folded`, which
makes an image small for it; `small_unet`, both together as the examples use them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygen._checks import whole
from tinygen._types import Rng
from tinygen.autograd import Tensor, as_tensor, concat, reshape, silu, transpose, upsample2d
from tinygen.autograd.tensor import as_alike
from tinygen.nn import (
    Conv2d,
    Dense,
    Embedding,
    GroupNorm,
    Module,
    SelfAttention,
    Sequential,
    SinusoidalEmbedding,
    zeros,
)

__all__ = ["Folded", "UNet", "image_shape", "small_unet"]

ImageShape: TypeAlias = tuple[int, int, int]  # H, W, C


def image_shape(name: str, image: Any) -> ImageShape:
    """`image` as (H, W, C), three whole numbers from 1 on; or an error in the name of `name`."""
    ok = isinstance(image, (tuple, list)) and len(image) == 3
    if not ok or any(not isinstance(n, (int, np.integer)) or n < 1 for n in image):
        raise ValueError(f"{name}: expected `image` to be (height, width, channels), got {image!r}")
    H, W, C = image
    return H, W, C


class Block(Module):
    """x + f(x, e), where f is norm, SiLU, convolution, twice, and is told e between the two

    e embeds the time, and the class if there is one. With `heads` above 0, attention over all
    pixels is added likewise. What is added begins at zero. Where channels change, a convolution of
    1 × 1 brings x along.
    """

    def __init__(
        self, inputs: int, outputs: int, embedded: int, groups: int = 8, heads: int = 0, *, rng: Rng
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
        return h


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
        rng: Rng,
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
        rng: Rng,
    ) -> None:
        self.image = H, W, C = image_shape("UNet", image)
        whole(
            "UNet",
            1,
            depth=depth,
            classes=1 if classes is None else classes,
            heads=heads,
            **{f"multipliers[{i}]": m for i, m in enumerate(multipliers)},
        )
        if not isinstance(width, (int, np.integer)) or width < 4 or width % 2:
            raise ValueError(f"UNet: expected `width` to be an even int ≥ 4, got {width!r}")
        if not multipliers:
            raise ValueError(f"UNet: expected one of `multipliers` or more, got {multipliers!r}")
        halvings = len(multipliers) - 1
        if H % 2**halvings or W % 2**halvings:
            raise ValueError(
                f"UNet: expected an `image` whose sides halve {halvings} times, for "
                f"{halvings + 1} `multipliers`, got {image}"
            )
        heights = [H >> i for i in range(halvings + 1)]
        if not isinstance(attention_at, Sequence) or not set(attention_at) <= set(heights):
            raise ValueError(
                f"UNet: expected `attention_at` to list some of the heights "
                f"{heights}, got {attention_at!r}"
            )
        channels, embedded = [width * m for m in multipliers], 4 * width

        def block_at(height: int) -> Callable[[int, int], Module]:
            attending = heads if height in attention_at else 0
            return lambda a, b: Block(a, b, embedded, groups, attending, rng=rng)

        self.embed_time = Sequential(
            SinusoidalEmbedding(width),
            Dense(width, embedded, rng=rng),
            silu,
            Dense(embedded, embedded, rng=rng),
        )
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
            raise ValueError(
                f"UNet: expected `x` of shape (N, {', '.join(map(str, self.image))}), got {x.shape}"
            )
        if t.shape != x.shape[:1]:
            raise ValueError(
                f"UNet: expected `t` of shape {x.shape[:1]}, a time for each image, got {t.shape}"
            )
        e = self.embed_time(t)
        if self.embed_class is not None:
            if classes is None:
                raise ValueError("UNet: expected `classes`, one for each image, got none")
            classes = as_tensor(classes)
            if classes.shape != t.shape:
                raise ValueError(
                    f"UNet: expected `classes` of shape {t.shape}, one for each "
                    f"image, got {classes.shape}"
                )
            e = e + self.embed_class(classes)
        elif classes is not None:
            raise ValueError("UNet: expected no `classes`: this network was made without")
        h = self.levels(self.stem(x), silu(e))
        return self.head(silu(self.norm(h)))


class Folded(Module):
    """A network of images (H/f, W/f, f² C), as one of images (H, W, C): f × f pixels are one

    Nothing is lost, and f² fewer pixels cost f² times less. To take noise off is the same task
    folded or not: the squares of all entries have the same sum.
    """

    def __init__(self, network: Any, factor: int = 2) -> None:
        whole("Folded", 1, factor=factor)
        self.network, self.factor = network, int(factor)

    def forward(self, x: Any, *told: Any) -> Tensor:
        x, f = as_tensor(x), self.factor
        N, H, W, C = x.shape
        if H % f or W % f:
            raise ValueError(f"Folded: expected sides that {f} divides, got `x` of shape {x.shape}")
        h, w = H // f, W // f
        x = transpose(reshape(x, (N, h, f, w, f, C)), (0, 1, 3, 2, 4, 5))  # (N, h, w, f, f, C)
        y = as_tensor(self.network(reshape(x, (N, h, w, f * f * C)), *told))
        y = transpose(reshape(y, (N, h, w, f, f, -1)), (0, 1, 3, 2, 4, 5))  # (N, h, f, w, f, C)
        return reshape(y, (N, H, W, -1))


def small_unet(
    image: ImageShape, width: int = 48, classes: int | None = None, *, rng: Rng
) -> Folded:
    """A U-Net for small images: each 2 × 2 pixels are one, two levels, attention on the lower."""
    H, W, C = image_shape("small_unet", image)
    half = (H // 2, W // 2, 4 * C)
    return Folded(UNet(half, width, (1, 2), attention_at=(H // 4,), classes=classes, rng=rng))
