"""Variational autoencoders: the bound, the tighter bound, the model, its evaluation.

Reading order: bounds.py, model.py, evaluation.py; vq.py has a codebook in place of a Gaussian.
"""

from tinygen.vae import vq as vq
from tinygen.vae.bounds import *
from tinygen.vae.evaluation import *
from tinygen.vae.model import *
