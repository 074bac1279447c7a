r"""Networks of well-known books and courses, with exactly their parameters, one call each.

A discriminator's output is a logit, (N, 1): the sigmoid at the end belongs to the loss here. The
images of `conv_vae` are logits too. Images are (N, H, W, C). Parameters:

    name            generator or encoder             discriminator or decoder              images
    dense_gan       100-256-512-512-784     822,288  convolutions 64-128          212,865  [0, 1]
    one_layer_gan   128-784                 101,136  convolutions 64-128-256    1,030,145  [−1, 1]
    dcgan_28        100-7·7·128-14-28       840,321  convolutions 64-128          212,865  [−1, 1]
    dcgan_64        100-8·8·128-16-32-64  3,750,275  convolutions 64-128-128      404,801  [0, 1]
    conv_vae        convolutions 32-64-16    69,076  2-7·7·64-14-28                65,089  logits

These are the layers, not the recipes: the initialisation, and batch norm's ε and momentum, are this
library's. `rng` draws the weights, and afterwards what dropout drops.
"""

from __future__ import annotations

from itertools import pairwise

from tinygen import nn
from tinygen._types import Rng
from tinygen.nn import Conv2d, ConvTranspose2d, Dense, LeakyReLU, Module, ReLU, Sequential

__all__ = ["conv_vae", "dcgan_28", "dcgan_64", "dense_gan", "one_layer_gan"]


def _halving(
    channels: list[int], *, size: int, slope: float, drop: float = 0, rng: Rng
) -> list[Module]:
    """Convolutions that halve the sides, each with a leaky ReLU and, if it drops any, dropout"""
    layers: list[Module] = []
    for a, b in pairwise(channels):
        layers += [Conv2d(a, b, size, 2, "same", rng=rng), LeakyReLU(slope)]
        layers += [nn.Dropout(drop, rng=rng)] if drop else []
    return layers


def dense_gan(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """Generator of dense layers, (N, 100) → (N, 28, 28, 1); discriminator of convolutions

    The discriminator is that of TensorFlow's DCGAN tutorial.
    """
    generator = Sequential(
        Dense(100, 256, rng=rng),
        LeakyReLU(0.2),
        Dense(256, 512, rng=rng),
        LeakyReLU(0.2),
        Dense(512, 512, rng=rng),
        LeakyReLU(0.2),
        Dense(512, 784, rng=rng),
        nn.Sigmoid(),
        nn.Reshape(28, 28, 1),
    )
    halved = _halving([1, 64, 128], size=5, slope=0.3, drop=0.3, rng=rng)  # 7 × 7
    return generator, Sequential(*halved, nn.Flatten(), Dense(7 * 7 * 128, 1, rng=rng))


def one_layer_gan(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """Generator of one dense layer, (N, 128) → (N, 28, 28, 1); discriminator of convolutions"""
    generator = Sequential(Dense(128, 784, rng=rng), nn.Tanh(), nn.Reshape(28, 28, 1))
    halved = _halving([1, 64, 128, 256], size=5, slope=0.2, rng=rng)  # 4 × 4
    return generator, Sequential(*halved, nn.Flatten(), Dense(4 * 4 * 256, 1, rng=rng))


def dcgan_28(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """DCGAN, (N, 100) → (N, 28, 28, 1), with dropout (Géron, Hands-On Machine Learning, chapter 17)

    The book has SELU in the generator: ELU with this α, times 1.05, which batch norm divides out.
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
    halved = _halving([1, 64, 128], size=5, slope=0.2, drop=0.4, rng=rng)  # 7 × 7
    return generator, Sequential(*halved, nn.Flatten(), Dense(7 * 7 * 128, 1, rng=rng))


def dcgan_64(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """DCGAN for faces, (N, 100) → (N, 64, 64, 3) (Chollet, Deep Learning with Python, chapter 12)

    The book's noise has 128 numbers. Channels grow with the pixels here, unlike in other DCGANs.
    """
    generator = Sequential(
        Dense(100, 8 * 8 * 128, rng=rng),
        nn.Reshape(8, 8, 128),
        ConvTranspose2d(128, 128, 4, 2, "same", rng=rng),  # 16 × 16
        LeakyReLU(0.2),
        ConvTranspose2d(128, 256, 4, 2, "same", rng=rng),  # 32 × 32
        LeakyReLU(0.2),
        ConvTranspose2d(256, 512, 4, 2, "same", rng=rng),  # 64 × 64
        LeakyReLU(0.2),
        Conv2d(512, 3, 5, padding="same", rng=rng),
        nn.Sigmoid(),
    )
    halved = _halving([3, 64, 128, 128], size=4, slope=0.2, rng=rng)  # 8 × 8
    last = Dense(8 * 8 * 128, 1, rng=rng)
    return generator, Sequential(*halved, nn.Flatten(), nn.Dropout(0.2, rng=rng), last)


def conv_vae(*, rng: Rng) -> tuple[Sequential, Sequential]:
    """Encoder, (N, 28, 28, 1) → (N, 4), and decoder, (N, 2) → (N, 28, 28, 1), of Keras' VAE example

    Of the encoder's outputs two are the latent's mean and two its log-variance.
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
