r"""Networks of well-known books and courses, with exactly their numbers of parameters.

A discriminator returns a logit, (N, 1), as the sigmoid is part of the loss here. `conv_vae` returns
logits too. Images are (N, H, W, C). Parameters:

    name            generator or encoder             discriminator or decoder              images
    dense_gan       100-256-512-512-784     822,288  convolutions 64-128          212,865  [0, 1]
    one_layer_gan   128-784                 101,136  convolutions 64-128-256    1,030,145  [−1, 1]
    dcgan_28        100-7·7·128-14-28       840,321  convolutions 64-128          212,865  [−1, 1]
    dcgan_64        100-8·8·128-16-32-64  3,750,275  convolutions 64-128-128      404,801  [0, 1]
    conv_vae        convolutions 32-64-16    69,076  2-7·7·64-14-28                65,089  logits

Initialisation and batch norm's ε and momentum are tinygen's. `rng` samples weights and dropout.
"""

from itertools import pairwise

from tinygen import nn
from tinygen._types import Rng
from tinygen.models.networks import mlp
from tinygen.nn import Conv2d, ConvTranspose2d, Dense, LeakyReLU, Module, ReLU, Sequential

__all__ = ["conv_vae", "dcgan_28", "dcgan_64", "dense_gan", "one_layer_gan"]


def _discriminator(
    channels: list[int], side: int, *, size: int, slope: float, drop: float = 0, rng: Rng
) -> Sequential:
    """Convolutions that halve the sides down to `side`, with dropout if `drop`; then a logit."""
    layers: list[Module] = []
    for a, b in pairwise(channels):
        layers += [Conv2d(a, b, size, 2, "same", rng=rng), LeakyReLU(slope)]
        layers += [nn.Dropout(drop, rng=rng)] if drop else []
    return Sequential(*layers, nn.Flatten(), Dense(side * side * channels[-1], 1, rng=rng))


def dense_gan(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """A generator of dense layers, (N, 100) → (N, 28, 28, 1), and a convolutional discriminator"""
    sizes, leaky = [100, 256, 512, 512, 784], LeakyReLU(0.2)
    dense = mlp(sizes, leaky, nn.Sigmoid(), rng=rng, init=nn.lecun_normal)
    generator = Sequential(*dense.layers, nn.Reshape(28, 28, 1))
    # the discriminator of TensorFlow's DCGAN tutorial
    return generator, _discriminator([1, 64, 128], 7, size=5, slope=0.3, drop=0.3, rng=rng)


def one_layer_gan(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """A one-layer generator, (N, 128) → (N, 28, 28, 1), and a convolutional discriminator"""
    generator = Sequential(Dense(128, 784, rng=rng), nn.Tanh(), nn.Reshape(28, 28, 1))
    return generator, _discriminator([1, 64, 128, 256], 4, size=5, slope=0.2, rng=rng)


def dcgan_28(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """DCGAN, (N, 100) → (N, 28, 28, 1), with dropout (Géron, Hands-On Machine Learning, chapter 17)

    The generator's ELU is the book's SELU up to a factor, which batch norm cancels.
    """
    generator = Sequential(
        Dense(100, 7 * 7 * 128, rng=rng),
        nn.Reshape(7, 7, 128),
        nn.BatchNorm(128),
        ConvTranspose2d(128, 64, 5, 2, "same", rng=rng),  # 14 × 14
        nn.ELU(1.6732632),
        nn.BatchNorm(64),
        ConvTranspose2d(64, 1, 5, 2, "same", rng=rng),  # 28 × 28
        nn.Tanh(),
    )
    return generator, _discriminator([1, 64, 128], 7, size=5, slope=0.2, drop=0.4, rng=rng)


def dcgan_64(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """DCGAN for faces, (N, 100) → (N, 64, 64, 3) (Chollet, Deep Learning with Python, chapter 12)

    The book's latent has 128 numbers. Unlike in other DCGANs, channels grow with resolution.
    """
    layers: list[Module] = [Dense(100, 8 * 8 * 128, rng=rng), nn.Reshape(8, 8, 128)]
    for a, b in pairwise([128, 128, 256, 512]):  # 16 × 16, 32 × 32, 64 × 64
        layers += [ConvTranspose2d(a, b, 4, 2, "same", rng=rng), LeakyReLU(0.2)]
    layers += [Conv2d(512, 3, 5, padding="same", rng=rng), nn.Sigmoid()]
    *body, last = _discriminator([3, 64, 128, 128], 8, size=4, slope=0.2, rng=rng).layers
    return Sequential(*layers), Sequential(*body, nn.Dropout(0.2, rng=rng), last)


def conv_vae(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """Encoder, (N, 28, 28, 1) → (N, 4), and decoder, (N, 2) → (N, 28, 28, 1), of Keras' VAE example

    The encoder gives two means and two log-variances.
    """
    encoder = Sequential(
        Conv2d(1, 32, 3, 2, "same", rng=rng),  # 14 × 14
        ReLU(),
        Conv2d(32, 64, 3, 2, "same", rng=rng),  # 7 × 7
        ReLU(),
        nn.Flatten(),
        Dense(7 * 7 * 64, 16, rng=rng),
        ReLU(),
        Dense(16, 2 + 2, rng=rng),
    )
    decoder = Sequential(
        Dense(2, 7 * 7 * 64, rng=rng),
        ReLU(),
        nn.Reshape(7, 7, 64),
        ConvTranspose2d(64, 64, 3, 2, "same", rng=rng),  # 14 × 14
        ReLU(),
        ConvTranspose2d(64, 32, 3, 2, "same", rng=rng),  # 28 × 28
        ReLU(),
        ConvTranspose2d(32, 1, 3, padding="same", rng=rng),
    )
    return encoder, decoder
