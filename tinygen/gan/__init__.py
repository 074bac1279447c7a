"""Generative adversarial networks: the losses, and the training loop.

Reading order: losses.py, training.py.
"""

from tinygen.gan.losses import *
from tinygen.gan.training import *
