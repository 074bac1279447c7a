"""All rows have the first row's time.

score: 21.5
says: all rows have the time of the first
"""

import numpy as np


def q_sample(x_0, t, eps, alpha_bar):
    at_t = alpha_bar[t[0]]
    return np.sqrt(at_t) * x_0 + np.sqrt(1 - at_t) * eps
