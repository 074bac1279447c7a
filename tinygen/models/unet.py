r"""The U-Net of diffusion models (Ho et al. 2020), from an image and a time to an image.

Each level has half the resolution of the one above. On the way down the image loses fine detail; on
the way up, skip connections restore it. So an output pixel depends on the whole image, and directly
on its own pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tinygen import nn
from tinygen._checks import whole
from tinygen._types import ArrayLike, Rng, Shape
from tinygen.autograd import Tensor, as_tensor, concat, mean, reshape, silu, transpose, upsample2d
from tinygen.autograd.tensor import as_alike
from tinygen.models.text import TextEncoder
from tinygen.nn import Conv2d, Dense, GroupNorm, Module, zeros

__all__ = ["SpaceToDepth", "UNet", "small_unet"]


class Block(Module):
    """x + f(x, e), where f is norm, SiLU and convolution, twice, with e added in between

    e embeds the time, and the class if there is one. With `heads`, attention over all pixels is a
    second branch, and with a layer `to_words`, attention to a caption's words c is a third. All
    start at zero. A 1 × 1 convolution changes the channels of x if necessary.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedded: int,
        groups: int = 8,
        heads: int = 0,
        to_words: nn.CrossAttention | None = None,
        *,
        rng: Rng,
    ) -> None:
        self.norm1, self.norm2 = GroupNorm(groups, inputs), GroupNorm(groups, outputs)
        self.conv1 = Conv2d(inputs, outputs, 3, padding="same", rng=rng)
        self.embedding = Dense(embedded, outputs, rng=rng)
        self.conv2 = Conv2d(outputs, outputs, 3, padding="same", rng=rng, init=zeros)
        self.skip = Conv2d(inputs, outputs, 1, rng=rng) if inputs != outputs else None
        self.attention, self.to_words = None, to_words
        if heads:
            self.norm3 = GroupNorm(groups, outputs)
            self.attention = nn.SelfAttention(outputs, heads, rng=rng)
            self.attention.mix = Dense(outputs, outputs, rng=rng, init=zeros)
        if to_words is not None:
            self.norm4 = GroupNorm(groups, outputs)
            to_words.mix = Dense(outputs, outputs, rng=rng, init=zeros)

    def forward(self, x: Tensor, e: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.conv1(silu(self.norm1(x)), reshape(self.embedding(e), (len(x), 1, 1, -1)))
        h = self.conv2(silu(self.norm2(h)), x if self.skip is None else self.skip(x))
        if self.attention is not None:
            h = h + self.attention(self.norm3(h))
        return h if self.to_words is None else h + self.to_words(self.norm4(h), c)


MakeBlock: TypeAlias = Callable[[int, int], Block]  # (channels in, channels out)


class Level(Module):
    """Blocks, the network `below` at half the resolution, and blocks with skip connections"""

    def __init__(
        self, channels: int, below: Module, wider: int, block: MakeBlock, depth: int, *, rng: Rng
    ) -> None:
        self.down = [block(channels, channels) for _ in range(depth)]
        self.shrink = Conv2d(channels, wider, 3, 2, "same", rng=rng)
        self.below = below
        self.grow = Conv2d(wider, channels, 3, padding="same", rng=rng)
        self.up = [block(2 * channels, channels) for _ in range(depth)]

    def forward(self, x: Tensor, e: Tensor, c: Tensor | None = None) -> Tensor:
        left = []
        for block in self.down:
            x = block(x, e, c)
            left.append(x)
        x = self.grow(upsample2d(self.below(self.shrink(x), e, c)))
        for block in self.up:
            x = block(concat([x, left.pop()], axis=-1), e, c)
        return x


class Bottom(Module):
    """The lowest level: 2 `depth` blocks, and no level below"""

    def __init__(self, channels: int, block: MakeBlock, depth: int) -> None:
        self.blocks = [block(channels, channels) for _ in range(2 * depth)]

    def forward(self, x: Tensor, e: Tensor, c: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x = block(x, e, c)
        return x


class UNet(Module):
    """(N, H, W, C) images, (N,) times and, if class-conditional, (N,) classes → (N, H, W, C)

    Level i has width · multipliers[i] channels, and `depth` blocks on the way down and on the way
    up, with attention if its height is in `attention_at`. The time embedding suits times from 1 to
    10,000: multiply those from [0, 1] by 1000. The class `classes` means "any". With a `text`
    encoder, pass (N, S) tokens for the classes: in every block the pixels attend to the words, and
    the words' mean is added to the time embedding, as in Imagen (Saharia et al. 2022).
    """

    def __init__(
        self,
        image: Shape = (28, 28, 1),
        width: int = 32,
        multipliers: Sequence[int] = (1, 2, 2),
        depth: int = 1,
        attention_at: Sequence[int] = (7,),
        classes: int | None = None,
        heads: int = 4,
        groups: int = 8,
        text: TextEncoder | None = None,
        *,
        rng: Rng,
    ) -> None:
        whole("UNet", 1, depth=depth, heads=heads)
        H, W, C = self.image = image
        channels, embedded, last = [width * m for m in multipliers], 4 * width, len(multipliers) - 1
        heights = [H >> i for i in range(last + 1)]
        if H % 2**last or W % 2**last:
            raise ValueError(f"UNet: expected `image` sides divisible by {2**last}, got {image}")
        if not set(attention_at) <= set(heights):
            raise ValueError(f"UNet: expected `attention_at` among {heights}, got {attention_at}")

        def block_at(height: int) -> MakeBlock:
            attending = heads if height in attention_at else 0

            def block(a: int, b: int) -> Block:
                to_words = nn.CrossAttention(b, text.features, heads, rng=rng) if text else None
                return Block(a, b, embedded, groups, attending, to_words, rng=rng)

            return block

        sinusoids, first = nn.SinusoidalEmbedding(width), Dense(width, embedded, rng=rng)
        self.embed_time = nn.Sequential(sinusoids, first, silu, Dense(embedded, embedded, rng=rng))
        self.embed_class = nn.Embedding(classes + 1, embedded, rng=rng) if classes else None
        self.text = text
        self.embed_text = Dense(text.features, embedded, rng=rng) if text else None
        self.stem = Conv2d(C, channels[0], 3, padding="same", rng=rng)
        net: Module = Bottom(channels[-1], block_at(heights[-1]), depth)
        for i in reversed(range(last)):
            net = Level(channels[i], net, channels[i + 1], block_at(heights[i]), depth, rng=rng)
        self.levels = net
        self.norm = GroupNorm(groups, channels[0])
        self.head = Conv2d(channels[0], C, 3, padding="same", rng=rng, init=zeros)

    def forward(self, x: ArrayLike, t: ArrayLike, classes: ArrayLike | None = None) -> Tensor:
        x, t, _ = as_alike("images and times", x, t, self.stem.weight)
        if t.shape != x.shape[:1]:
            raise ValueError(f"UNet: expected `t` of shape {x.shape[:1]}, got {t.shape}")
        if (classes is None) != (self.embed_class is None and self.text is None):
            raise ValueError(f"UNet: pass `classes` exactly when class-conditional, got {classes}")
        e = self.embed_time(t)
        if self.embed_class is not None:
            e = e + self.embed_class(classes)
        c = None
        if self.text is not None and self.embed_text is not None:
            c = self.text(classes)  # (N, S, features)
            e = e + self.embed_text(mean(c, axis=1))
        h = self.levels(self.stem(x), silu(e), c)
        return self.head(silu(self.norm(h)))


class SpaceToDepth(Module):
    """Apply a network of images (H/f, W/f, f² C) to images (H, W, C), at about 1/f² of the cost"""

    def __init__(self, network: Callable[..., Any], factor: int = 2) -> None:
        self.network, self.factor = network, factor

    def forward(self, x: ArrayLike, *others: Any) -> Tensor:
        x, f = as_tensor(x), self.factor
        N, H, W, C = x.shape
        h, w = H // f, W // f
        x = transpose(reshape(x, (N, h, f, w, f, C)), (0, 1, 3, 2, 4, 5))  # (N, h, w, f, f, C)
        y = as_tensor(self.network(reshape(x, (N, h, w, f * f * C)), *others))
        y = transpose(reshape(y, (N, h, w, f, f, -1)), (0, 1, 3, 2, 4, 5))  # (N, h, f, w, f, C)
        return reshape(y, (N, H, W, -1))


def small_unet(
    image: Shape, width: int = 48, classes: int | None = None, *, rng: Rng
) -> SpaceToDepth:
    """A two-level U-Net that takes 2 × 2 pixels as one, with attention on the lower level."""
    H, W, C = image
    half = (H // 2, W // 2, 4 * C)
    return SpaceToDepth(UNet(half, width, (1, 2), attention_at=(H // 4,), classes=classes, rng=rng))
