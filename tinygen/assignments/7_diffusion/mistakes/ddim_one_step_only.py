"""The step leads to t − 1, whatever s is.

score: 25
says: it leads to t − 1, not to s
"""

import numpy as np


def ddim_step(x_t, eps, t, s, alpha_bar):
    x_0 = predicted_x_0(x_t, eps, t, alpha_bar)
    return np.sqrt(alpha_bar[t - 1]) * x_0 + np.sqrt(1 - alpha_bar[t - 1]) * eps
