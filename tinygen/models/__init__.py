"""Networks made of layers. Reading order: networks.py, unet.py; classics.py, those of books."""

from tinygen.models import classics as classics
from tinygen.models.networks import *
from tinygen.models.unet import *
