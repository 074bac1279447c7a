"""Variational autoencoders. Reading order: bounds.py, model.py, vq.py (vector quantisation)."""

from tinygen.vae import vq as vq
from tinygen.vae.bounds import *
from tinygen.vae.model import *
