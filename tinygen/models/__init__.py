"""Networks made of layers: an MLP, DCGAN's pair, convolutional encoder and decoder, a U-Net.

Reading order: networks.py, unet.py; classics.py rebuilds the networks of well-known papers.
"""

from tinygen.models import classics as classics
from tinygen.models.networks import *
from tinygen.models.unet import Folded as Folded
from tinygen.models.unet import UNet as UNet
from tinygen.models.unet import small_unet as small_unet
