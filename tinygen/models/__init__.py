"""Networks made of layers: networks.py, unet.py; classics.py has those of well-known books."""

from tinygen.models import classics as classics
from tinygen.models.networks import *
from tinygen.models.text import *
from tinygen.models.unet import *
