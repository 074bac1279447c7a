"""A sum over the batch.

score: 21
says: a sum over the batch, not a mean
"""

import tinygen as tg


def elbo(x, mu, log_var, eps, likelihood):
    return tg.sum(likelihood(x, reparameterise(mu, log_var, eps)) - kl(mu, log_var))
