"""v averages g, not g².

score: 24
says: v averages g, not g²
"""

import numpy as np


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    v = alpha * v + (1 - alpha) * g
    return p - lr * g / (np.sqrt(v) + eps), v
