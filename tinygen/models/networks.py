r"""The networks that the model families of this library are tried with.

Each is a Module made from a few numbers. Images are (N, H, W, C). A network of images has levels:
from one to the next both sides halve and the channels grow. DCGANs, encoders and decoders go on
while both sides are even and above 4: from 28 × 28 by 14 to 7, from 64 × 64 by 32, 16 and 8 to 4.
The U-Net of diffusion models is in unet.py, networks of well-known articles, to the number, are in
classics.py.

Reading order: `mlp`; the DCGAN pair; the convolutional encoder and decoder; `PlaneMLP`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tinygen._checks import whole
from tinygen._types import Rng
from tinygen.autograd import concat, relu, reshape, silu
from tinygen.models.unet import ImageShape, image_shape
from tinygen.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    Module,
    ReLU,
    Reshape,
    Sequential,
    SinusoidalEmbedding,
    SpectralNorm,
    Tanh,
    he_normal,
    normal,
)
from tinygen.nn.initializers import Initialiser

__all__ = [
    "PlaneMLP",
    "conv_decoder",
    "conv_encoder",
    "dcgan_discriminator",
    "dcgan_generator",
    "mlp",
]


def mlp(
    sizes: Sequence[int],
    activation: Callable[[Any], Any] = relu,
    output: Callable[[Any], Any] | None = None,
    *,
    rng: Rng,
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


def levels(name: str, image: ImageShape, width: int) -> tuple[int, int, list[int]]:
    """The last level's height and width, and the channels of all: the image's, `width`, twice …"""
    H, W, C = image_shape(name, image)
    channels = [C]
    while H % 2 == W % 2 == 0 and min(H, W) > 4:
        H, W = H // 2, W // 2
        channels.append(width)
        width *= 2
    if len(channels) < 2:
        raise ValueError(
            f"{name}: expected an `image` with sides that are even and above 4, got {image}"
        )
    return H, W, channels


# --- DCGAN (Radford et al. 2016): convolutions, batch norm between, weights from N(0, 0.02²) ------


def dcgan_generator(
    image: ImageShape = (28, 28, 1), latent: int = 100, width: int = 64, *, rng: Rng
) -> Sequential:
    """(N, latent) → (N, H, W, C) in [−1, 1]; channels halve, down to `width`, as sides double"""
    whole("dcgan_generator", 1, latent=latent, width=width)
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
    image: ImageShape = (28, 28, 1), width: int = 64, *, rng: Rng, norm: str = "batch"
) -> Sequential:
    """(N, H, W, C) → (N, 1), the logit of being real; channels double as the sides halve

    `norm` "spectral" bounds the slope of every layer by 1 instead (Miyato et al. 2018); "none" is
    for penalties on the slope, which is each image's own only where images do not meet.
    """
    whole("dcgan_discriminator", 1, width=width)
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(
            f'dcgan_discriminator: expected `norm` "batch", "spectral" or "none", got {norm!r}'
        )
    H, W, (C, *channels) = levels("dcgan_discriminator", image, width)
    batch = norm == "batch"
    layers: list[Any] = []
    for i, (a, b) in enumerate(pairwise([C, *channels])):
        # no norm after the first: with one, says the paper, samples oscillate
        layers.append(Conv2d(a, b, 4, 2, 1, rng=rng, init=normal(0.02), bias=not (batch and i)))
        layers += [BatchNorm(b)] if batch and i else []
        layers += [LeakyReLU(0.2)]
    layers += [Flatten(), Dense(H * W * channels[-1], 1, rng=rng, init=normal(0.02))]
    if norm == "spectral":
        layers = [SpectralNorm(f, rng=rng) if hasattr(f, "weight") else f for f in layers]
    return Sequential(*layers)


# --- a convolutional encoder and decoder ----------------------------------------------------------


def conv_encoder(
    image: ImageShape = (28, 28, 1), outputs: int = 32, width: int = 32, *, rng: Rng
) -> Sequential:
    """(N, H, W, C) → (N, outputs); channels double, from `width` up, as the sides halve

    For a VAE `outputs` is twice the decoder's `latent`: means, and logarithms of variances.
    """
    whole("conv_encoder", 1, outputs=outputs, width=width)
    H, W, channels = levels("conv_encoder", image, width)
    layers: list[Any] = []
    for a, b in pairwise(channels):
        layers += [Conv2d(a, b, 4, 2, 1, rng=rng, init=he_normal), ReLU()]
    return Sequential(*layers, Flatten(), Dense(H * W * channels[-1], outputs, rng=rng))


def conv_decoder(
    image: ImageShape = (28, 28, 1), latent: int = 16, width: int = 32, *, rng: Rng
) -> Sequential:
    """(N, latent) → (N, H, W, C), real numbers: the encoder's layers the other way round"""
    whole("conv_decoder", 1, latent=latent, width=width)
    H, W, channels = levels("conv_decoder", image, width)
    layers: list[Any] = [
        Dense(latent, H * W * channels[-1], rng=rng, init=he_normal),
        Reshape(H, W, channels[-1]),
    ]
    for a, b in pairwise(reversed(channels)):
        layers += [ReLU(), ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=he_normal)]
    return Sequential(*layers)


class PlaneMLP(Module):
    """(N, 2) points and (N,) times from 0 to 1000 → (N, 2), for diffusion and flows in the plane

    A dense network with sinusoidal embeddings of the times and, beside them, of the coordinates:
    from plain numbers alone it learns edges slowly.
    """

    def __init__(self, hidden: int = 128, *, rng: Rng) -> None:
        self.time = SinusoidalEmbedding(32)
        self.place = SinusoidalEmbedding(8, longest=8.0)
        self.layers = mlp([2 + 16 + 32, *[hidden] * 4, 2], silu, rng=rng)

    def forward(self, x: Any, t: Any) -> Any:
        waves = reshape(self.place(8.0 * x), (len(x), 16))
        return self.layers(concat([x, waves, self.time(t)], axis=1))
