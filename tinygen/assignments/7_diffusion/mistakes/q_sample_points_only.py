"""Right for points, but images have more axes.

score: 28
says: operands could not be broadcast
"""

import numpy as np


def q_sample(x_0, t, eps, alpha_bar):
    at_t = alpha_bar[t][:, None]
    return np.sqrt(at_t) * x_0 + np.sqrt(1 - at_t) * eps
