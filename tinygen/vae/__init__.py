"""Variational autoencoders: bounds.py, model.py, latents.py, vq.py (vector quantisation)."""

from tinygen.vae import vq as vq
from tinygen.vae.bounds import *
from tinygen.vae.latents import *
from tinygen.vae.model import *
