"""A class with the schedule, and DDPM's mean in terms of ε̂ (Ho et al. 2020, eq. 11)."""

import numpy as np

import tinygen as tg


class Schedule:
    def __init__(self, alpha_bar):
        self.alpha_bar = alpha_bar
        self.signal, self.noise = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)

    def per_row(self, values, t, x):
        return np.expand_dims(values[t], tuple(range(1, np.ndim(x))))

    def back(self, x, eps, t, s):
        return self.signal[s] / self.signal[t] * (x - self.noise[t] * eps)


def alpha_bars(beta):
    return np.exp(np.cumsum(np.concatenate([[0.0], np.log1p(-beta)])))


def q_sample(x_0, t, eps, alpha_bar):
    schedule = Schedule(alpha_bar)
    noise = schedule.per_row(schedule.noise, t, eps) * eps
    return schedule.per_row(schedule.signal, t, x_0) * x_0 + noise


def loss(network, x_0, t, eps, alpha_bar):
    error = tg.as_tensor(eps) - network(q_sample(x_0, t, eps, alpha_bar), t)
    return (error * error).sum() / eps.size


def predicted_x_0(x_t, eps, t, alpha_bar):
    return Schedule(alpha_bar).back(x_t, eps, t, 0)


def ddpm_step(x_t, eps, t, z, alpha_bar):
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    mean = (x_t - (1 - alpha) / np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(alpha)
    if t == 1:
        return mean
    return mean + np.sqrt((1 - alpha) * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])) * z


def ddim_step(x_t, eps, t, s, alpha_bar):
    schedule = Schedule(alpha_bar)
    return schedule.back(x_t, eps, t, s) + schedule.noise[s] * eps
