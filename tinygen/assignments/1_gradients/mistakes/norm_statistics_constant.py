"""The mean and the variance are treated as constants.

score: 20.17
says: a mean or a variance is treated as a constant
"""

import numpy as np


def layer_norm_backward(g, x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return g * gamma / std, (g * centred / std).sum(axis=0), g.sum(axis=0)
