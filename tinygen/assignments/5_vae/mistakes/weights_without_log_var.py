"""q lacks its normalisation 1/σ.

score: 20.75
says: q(z|x) lacks its normalisation 1/σ
"""

import tinygen as tg


def log_weights(x, mu, log_var, eps, likelihood):
    z = reparameterise(mu, log_var, eps)
    return likelihood(x, z) + 0.5 * tg.sum(eps * eps - z * z, axis=-1)
