"""Networks made of layers: an MLP, DCGAN's pair, convolutional encoder and decoder, a U-Net.

Reading order: networks.py, unet.py; classics.py rebuilds the networks of well-known papers.
"""

from tinygen.models import classics
from tinygen.models.networks import (
    PlaneMLP,
    conv_decoder,
    conv_encoder,
    dcgan_discriminator,
    dcgan_generator,
    mlp,
)
from tinygen.models.unet import Folded, UNet, small_unet

__all__ = [
    "Folded",
    "PlaneMLP",
    "UNet",
    "classics",
    "conv_decoder",
    "conv_encoder",
    "dcgan_discriminator",
    "dcgan_generator",
    "mlp",
    "small_unet",
]
