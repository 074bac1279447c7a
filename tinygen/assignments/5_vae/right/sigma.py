"""With σ in place of log σ², and densities written out."""

import math

import numpy as np

import tinygen as tg


def kl(mu, log_var):
    sigma = tg.sqrt(tg.exp(log_var))
    return ((mu**2 + sigma**2 - 1) / 2 - tg.log(sigma)).sum(axis=-1)


def kl_backward(g, mu, log_var):
    g_mu, g_log_var = np.empty_like(mu), np.empty_like(log_var)
    for n in range(len(mu)):
        g_mu[n] = g[n] * mu[n]
        g_log_var[n] = g[n] * np.expm1(log_var[n]) / 2
    return g_mu, g_log_var


def reparameterise(mu, log_var, eps):
    return mu + tg.sqrt(tg.exp(log_var)) * eps


def log_bernoulli(x, logits):
    ones, zeros = -tg.softplus(-logits), -tg.softplus(logits)
    return (x * ones + (1 - x) * zeros).sum(axis=-1)


def log_normal(z, mu, log_var):
    square = (z - mu) ** 2 / tg.exp(log_var)
    return -(square + log_var + math.log(2 * math.pi)).sum(axis=-1) / 2


def elbo(x, mu, log_var, eps, likelihood):
    given_z = likelihood(x, reparameterise(mu, log_var, eps))
    return given_z.mean() - kl(mu, log_var).mean()


def log_weights(x, mu, log_var, eps, likelihood):
    z = reparameterise(mu, log_var, eps)
    zero = 0 * mu
    return likelihood(x, z) + log_normal(z, zero, zero) - log_normal(z, mu, log_var)
