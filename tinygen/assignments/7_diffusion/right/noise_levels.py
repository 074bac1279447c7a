"""Everything in the scale x_0 + σ ε, and einsum in place of broadcasting."""

import numpy as np

import tinygen as tg


def sigma_of(alpha_bar, t):
    return np.sqrt(1 / alpha_bar[t] - 1)


def alpha_bars(beta):
    T = len(beta)
    below = np.tril(np.ones((T + 1, T)), -1)
    return np.exp(below @ np.log(1 - beta))


def q_sample(x_0, t, eps, alpha_bar):
    blurred = x_0 + np.einsum("n,n...->n...", sigma_of(alpha_bar, t), eps)
    return np.einsum("n,n...->n...", np.sqrt(alpha_bar[t]), blurred)


def loss(network, x_0, t, eps, alpha_bar):
    eps_hat = network(q_sample(x_0, t, eps, alpha_bar), t)
    return tg.mean(eps_hat * eps_hat) - 2 * tg.mean(eps_hat * eps) + np.mean(eps * eps)


def predicted_x_0(x_t, eps, t, alpha_bar):
    return x_t / np.sqrt(alpha_bar[t]) - sigma_of(alpha_bar, t) * eps


def posterior(x_0, x_t, t, alpha_bar):
    ratio = (sigma_of(alpha_bar, t - 1) / sigma_of(alpha_bar, t)) ** 2
    blurred = ratio * x_t / np.sqrt(alpha_bar[t]) + (1 - ratio) * x_0
    variance = (1 - alpha_bar[t - 1]) * (1 - ratio)
    return np.sqrt(alpha_bar[t - 1]) * blurred, variance


def ddim_step(x_t, eps, t, s, alpha_bar):
    change = sigma_of(alpha_bar, s) - sigma_of(alpha_bar, t)
    return np.sqrt(alpha_bar[s]) * (x_t / np.sqrt(alpha_bar[t]) + change * eps)
