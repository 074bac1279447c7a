"""Each mean is weighted with its own variance.

score: 26
says: the weights are exchanged
"""

import numpy as np


def posterior(x_0, x_t, t, alpha_bar):
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    m1, v1 = x_t / np.sqrt(alpha), (1 - alpha) / alpha
    m2, v2 = x_0 * np.sqrt(alpha_bar[t - 1]), 1 - alpha_bar[t - 1]
    return (v1 * m1 + v2 * m2) / (v1 + v2), v1 * v2 / (v1 + v2)
