"""The likelihood is a mean over the batch, the KL a sum.

score: 18
says: the KL is summed over the batch
"""

import tinygen as tg


def elbo(x, mu, log_var, eps, likelihood):
    z = reparameterise(mu, log_var, eps)
    return tg.mean(likelihood(x, z)) - tg.sum(kl(mu, log_var))
