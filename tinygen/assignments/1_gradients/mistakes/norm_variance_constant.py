"""Only the mean's own gradient is there; that of the variance is forgotten.

score: 20.17
says: the variance
"""

import numpy as np


def layer_norm_backward(g, x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    u = g * gamma
    gx = (u - u.mean(axis=1, keepdims=True)) / std
    return gx, (g * centred / std).sum(axis=0), g.sum(axis=0)
