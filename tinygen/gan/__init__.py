"""Generative adversarial networks. Reading order: losses.py, training.py."""

from tinygen.gan.losses import *
from tinygen.gan.training import *
