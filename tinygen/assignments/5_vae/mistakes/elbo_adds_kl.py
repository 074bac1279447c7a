"""The KL is added.

score: 18
says: the KL is added, not subtracted
"""

import tinygen as tg


def elbo(x, mu, log_var, eps, likelihood):
    return tg.mean(likelihood(x, reparameterise(mu, log_var, eps)) + kl(mu, log_var))
