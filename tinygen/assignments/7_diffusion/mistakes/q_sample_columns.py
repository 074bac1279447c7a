"""(N,) against (N, D): each column has its own time.

score: 20
says: each column has a time of its own, not each row
"""

import numpy as np


def q_sample(x_0, t, eps, alpha_bar):
    return np.sqrt(alpha_bar[t]) * x_0 + np.sqrt(1 - alpha_bar[t]) * eps
