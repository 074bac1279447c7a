"""log q is added.

score: 20
says: log q(z|x) is added, not subtracted
"""

import numpy as np

import tinygen as tg


def log_weights(x, mu, log_var, eps, likelihood):
    z = reparameterise(mu, log_var, eps)
    log_p = likelihood(x, z) - 0.5 * tg.sum(z * z + np.log(2 * np.pi), axis=-1)
    return log_p - 0.5 * tg.sum(eps * eps + log_var + np.log(2 * np.pi), axis=-1)
