"""Variational autoencoders: the bound, the tighter bound, the model and how well it does.

Reading order: bounds.py, model.py; vq.py has a codebook in place of a Gaussian.
"""

from tinygen.vae import vq as vq
from tinygen.vae.bounds import *
from tinygen.vae.model import *
