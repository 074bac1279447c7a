"""x̄ forgets that z̄ passes through γ.

score: 22.17
"""

import numpy as np


def layer_norm_backward(g, x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    x_hat = centred / std
    mean_g, mean_gx = g.mean(axis=1, keepdims=True), (g * x_hat).mean(axis=1, keepdims=True)
    return (g - mean_g - x_hat * mean_gx) / std, (g * x_hat).sum(axis=0), g.sum(axis=0)
