"""Variational autoencoders: the bound, the tighter bound, the model, its evaluation.

Reading order: bounds.py, model.py, evaluation.py; vq.py has a codebook in place of a Gaussian.
"""

from tinygen.vae import vq
from tinygen.vae.bounds import (
    Bernoulli,
    Bound,
    Gaussian,
    elbo,
    gaussian_kl,
    iwae,
    log_normal,
    log_weights,
    reparameterise,
    train,
)
from tinygen.vae.evaluation import evaluate, log_likelihood, unit_kl
from tinygen.vae.model import VAE

__all__ = [
    "VAE",
    "Bernoulli",
    "Bound",
    "Gaussian",
    "elbo",
    "evaluate",
    "gaussian_kl",
    "iwae",
    "log_likelihood",
    "log_normal",
    "log_weights",
    "reparameterise",
    "train",
    "unit_kl",
    "vq",
]
