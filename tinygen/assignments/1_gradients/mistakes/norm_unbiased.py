"""The variance divides by C − 1.

score: 19
says: the variance divides by C − 1
"""

import numpy as np


def layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)
    return gamma * centred / np.sqrt(x.var(axis=1, ddof=1, keepdims=True) + 1e-5) + beta
