"""x_t in the place of x̂_0.

score: 24.33
says: x_t is in the place of x̂_0
"""

import numpy as np


def ddim_step(x_t, eps, t, s, alpha_bar):
    return np.sqrt(alpha_bar[s]) * x_t + np.sqrt(1 - alpha_bar[s]) * eps
