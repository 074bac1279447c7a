"""Rows one by one, and the paper's formulas."""

import numpy as np


def alpha_bars(beta):
    found = [1.0]
    for b in beta:
        found.append(found[-1] * (1 - b))
    return np.array(found)


def q_sample(x_0, t, eps, alpha_bar):
    rows = []
    for row, time, noise in zip(x_0, t, eps):
        rows.append(alpha_bar[time] ** 0.5 * row + (1 - alpha_bar[time]) ** 0.5 * noise)
    return np.array(rows)


def predicted_x_0(x_t, eps, t, alpha_bar):
    return x_t / alpha_bar[t] ** 0.5 - (1 / alpha_bar[t] - 1) ** 0.5 * eps


def posterior(x_0, x_t, t, alpha_bar):
    before, at_t = alpha_bar[t - 1], alpha_bar[t]
    beta = 1 - at_t / before
    mean = before**0.5 * beta / (1 - at_t) * x_0
    mean = mean + (1 - beta) ** 0.5 * (1 - before) / (1 - at_t) * x_t
    return mean, (1 - before) / (1 - at_t) * beta


def ddpm(network, x, alpha_bar, rng):
    t = len(alpha_bar) - 1
    while t > 0:
        z = rng.normal(size=x.shape) if t > 1 else np.zeros(x.shape)
        x = ddpm_step(x, predict(network, x, t), t, z, alpha_bar)
        t -= 1
    return x


def ddim(network, x, alpha_bar, times):
    for k in range(1, len(times)):
        eps = predict(network, x, times[k - 1])
        x = ddim_step(x, eps, times[k - 1], times[k], alpha_bar)
    return x


def minibatch(x, n, T, rng):
    t = 1 + np.floor(T * rng.random(n)).astype(int)
    return rng.choice(x, n), t, rng.normal(size=(n, x.shape[1]))
