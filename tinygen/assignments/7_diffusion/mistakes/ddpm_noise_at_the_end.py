"""The step uses √β_t, so that noise is left at t = 1.

score: 26.5
says: noise is added at t = 1, where β̃_1 = 0
says: the noise is scaled by √β_t, not by √β̃_t
"""

import numpy as np


def ddpm_step(x_t, eps, t, z, alpha_bar):
    mean, _ = posterior(predicted_x_0(x_t, eps, t, alpha_bar), x_t, t, alpha_bar)
    return mean + np.sqrt(1 - alpha_bar[t] / alpha_bar[t - 1]) * z
