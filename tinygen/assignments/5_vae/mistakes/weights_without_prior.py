"""The prior is forgotten.

score: 20
says: the prior p(z) is missing
"""

import numpy as np

import tinygen as tg


def log_weights(x, mu, log_var, eps, likelihood):
    z = reparameterise(mu, log_var, eps)
    q = -0.5 * tg.sum(eps * eps + log_var + np.log(2 * np.pi), axis=-1)
    return likelihood(x, z) - q
