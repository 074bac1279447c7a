"""The gradient is that with respect to σ².

score: 24.5
says: with respect to σ², not to log σ²
"""

import numpy as np


def kl_backward(g, mu, log_var):
    g = g[:, None]
    return g * mu, g * (1 - np.exp(-log_var)) / 2
