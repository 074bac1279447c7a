r"""An MLP, DCGAN, a convolutional encoder and decoder, and a network for points in the plane.

Images are (N, H, W, C). From level to level both sides halve and the channels double, while both
sides are even and above 4: 28, 14, 7, or 64, 32, 16, 8, 4. DCGAN (Radford et al. 2016) has batch
norm between its convolutions and weights from N(0, 0.02²).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from tinygen import nn
from tinygen._types import Rng, Shape
from tinygen.autograd import Tensor, concat, relu, reshape, silu
from tinygen.nn import Conv2d, ConvTranspose2d, Dense, Module, Sequential
from tinygen.nn.initializers import Init, he_normal, lecun_normal, normal

__all__ = [
    "PlaneMLP",
    "conv_decoder",
    "conv_encoder",
    "dcgan_discriminator",
    "dcgan_generator",
    "latent_autoencoder",
    "mlp",
]

Activation: TypeAlias = Callable[[Any], Any]


def mlp(
    sizes: Sequence[int],
    activation: Activation = relu,
    output: Activation | None = None,
    *,
    rng: Rng,
    init: Init = he_normal,
) -> Sequential:
    """Dense layers from sizes[0] inputs to sizes[-1] outputs, with activations in between"""
    layers: list[Any] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Dense(inputs, outputs, rng=rng, init=init), activation]
    return Sequential(*layers[:-1], *([] if output is None else [output]))


def _levels(name: str, image: Shape, width: int) -> tuple[int, int, list[int]]:
    """The last level's height and width, and the channels: the image's, `width`, 2 `width`, …"""
    H, W, C = image
    channels = [C]
    while H % 2 == W % 2 == 0 and min(H, W) > 4:
        H, W = H // 2, W // 2
        channels.append(width)
        width *= 2
    if len(channels) < 2:
        raise ValueError(f"{name}: expected `image` with even sides above 4, got {image}")
    return H, W, channels


def dcgan_generator(
    image: Shape = (28, 28, 1), latent: int = 100, width: int = 64, *, rng: Rng
) -> Sequential:
    """(N, latent) → (N, H, W, C) in [−1, 1]; channels halve, down to `width`, as sides double"""
    H, W, (C, *channels) = _levels("dcgan_generator", image, width)
    init, top = normal(0.02), channels[-1]
    layers: list[Any] = [Dense(latent, H * W * top, rng=rng, init=init, bias=False)]
    layers += [nn.Reshape(H, W, top), nn.BatchNorm(top), nn.ReLU()]
    for a, b in pairwise(reversed(channels)):
        grow = ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=init, bias=False)
        layers += [grow, nn.BatchNorm(b), nn.ReLU()]
    return Sequential(*layers, ConvTranspose2d(width, C, 4, 2, 1, rng=rng, init=init), nn.Tanh())


def dcgan_discriminator(
    image: Shape = (28, 28, 1), width: int = 64, *, rng: Rng, norm: str = "batch"
) -> Sequential:
    """(N, H, W, C) → (N, 1), the logit of being real; channels double as the sides halve

    `norm` "spectral" divides weights by their spectral norms instead (Miyato et al. 2018). Use
    "none" with a gradient penalty, as batch norm would mix the gradients of different images.
    """
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(f"dcgan_discriminator: `norm` must be batch, spectral or none, got {norm}")
    H, W, channels = _levels("dcgan_discriminator", image, width)
    init, layers = normal(0.02), list[Module]()
    for i, (a, b) in enumerate(pairwise(channels)):
        normed = norm == "batch" and i > 0  # after the first it makes samples oscillate
        layers += [Conv2d(a, b, 4, 2, 1, rng=rng, init=init, bias=not normed)]
        layers += [nn.BatchNorm(b), nn.LeakyReLU(0.2)] if normed else [nn.LeakyReLU(0.2)]
    layers += [nn.Flatten(), Dense(H * W * channels[-1], 1, rng=rng, init=init)]
    if norm == "spectral":
        layers = [nn.SpectralNorm(f, rng=rng) if hasattr(f, "weight") else f for f in layers]
    return Sequential(*layers)


def conv_encoder(
    image: Shape = (28, 28, 1), outputs: int = 32, width: int = 32, *, rng: Rng
) -> Sequential:
    """(N, H, W, C) → (N, outputs); channels double, from `width` up, as the sides halve"""
    H, W, channels = _levels("conv_encoder", image, width)
    layers: list[Module] = []
    for a, b in pairwise(channels):
        layers += [Conv2d(a, b, 4, 2, 1, rng=rng, init=he_normal), nn.ReLU()]
    return Sequential(*layers, nn.Flatten(), Dense(H * W * channels[-1], outputs, rng=rng))


def conv_decoder(
    image: Shape = (28, 28, 1), latent: int = 16, width: int = 32, *, rng: Rng
) -> Sequential:
    """(N, latent) → (N, H, W, C), unbounded: the encoder's layers in reverse order"""
    H, W, channels = _levels("conv_decoder", image, width)
    layers: list[Module] = [Dense(latent, H * W * channels[-1], rng=rng, init=he_normal)]
    layers += [nn.Reshape(H, W, channels[-1])]
    for a, b in pairwise(reversed(channels)):
        layers += [nn.ReLU(), ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=he_normal)]
    return Sequential(*layers)


def latent_autoencoder(
    size: int = 64,
    channels: int = 3,
    side: int = 8,
    latents: int = 4,
    widths: Sequence[int] = (32, 64, 128),
    depth: int = 0,
    *,
    rng: Rng,
) -> tuple[Sequential, Sequential]:
    """Encoder and decoder of images with latents that are small images, side × side × `latents`

    For `vae.VAE`: the encoder's output is a row of means and log-variances, (N, 2 side² latents).
    Each halving of the sides has one of the `widths`, the last of them at the latents' side, where
    there are `depth` more convolutions.
    """
    halvings = (size // side).bit_length() - 1
    if side * 2**halvings != size or not 0 < halvings <= len(widths):
        sizes = ", ".join(str(side * 2 ** (i + 1)) for i in range(len(widths)))
        raise ValueError(f"latent_autoencoder: expected `size` among {sizes}, got {size}")
    widths = widths[-halvings:]
    first, top = widths[0], widths[-1]

    def normed(convolution: Module, channels: int) -> list[Module]:
        return [convolution, nn.BatchNorm(channels), nn.ReLU()]

    def conv(a: int, b: int, init: Init = he_normal) -> Conv2d:
        return Conv2d(a, b, 3, padding="same", rng=rng, init=init)

    down, up = list[Any](), normed(conv(latents, top), top)
    for a, b in pairwise((channels, *widths)):
        down += normed(Conv2d(a, b, 4, 2, 1, rng=rng, init=he_normal), b)
    for _ in range(depth):
        down += normed(conv(top, top), top)
        up += normed(conv(top, top), top)
    for b, a in reversed(list(pairwise(widths))):
        up += normed(ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=he_normal), b)
    last = ConvTranspose2d(first, channels, 4, 2, 1, rng=rng, init=normal(0.02))
    encoder = Sequential(*down, conv(top, 2 * latents, lecun_normal), _halves)
    decoder = Sequential(nn.Reshape(side, side, latents), *up, last, nn.Sigmoid())
    return encoder, decoder


def _halves(h: Tensor) -> Tensor:
    """(N, h, w, 2 C) → (N, 2 h w C): first all of the first C channels, then all of the others"""
    N, C = h.shape[0], h.shape[3] // 2
    return concat([reshape(half, (N, -1)) for half in (h[..., :C], h[..., C:])], axis=1)


class PlaneMLP(Module):
    """(N, 2) points and (N,) times from 0 to 1000 → (N, 2), for diffusion and flows in the plane"""

    def __init__(self, hidden: int = 128, *, rng: Rng) -> None:
        self.time = nn.SinusoidalEmbedding(32)
        self.place = nn.SinusoidalEmbedding(8, longest=8.0)  # helps to learn sharp edges
        self.layers = mlp([2 + 16 + 32, *[hidden] * 4, 2], silu, rng=rng)

    def forward(self, x: Any, t: Any) -> Tensor:
        place = self.place(8.0 * x).reshape(len(x), 16)
        return self.layers(concat([x, place, self.time(t)], axis=1))
