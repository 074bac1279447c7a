"""The variance is β_t, not β̃_t: noise is added at t = 1, too.

score: 26
says: it is β_t, not β̃_t
says: noise is added at t = 1
"""

import numpy as np


def posterior(x_0, x_t, t, alpha_bar):
    before, at_t = alpha_bar[t - 1], alpha_bar[t]
    alpha = at_t / before
    of_x_0, of_x_t = np.sqrt(before) * (1 - alpha), np.sqrt(alpha) * (1 - before)
    return (of_x_0 * x_0 + of_x_t * x_t) / (1 - at_t), 1 - alpha
