"""v sums up the squares and forgets nothing.

score: 25
says: v forgets nothing
"""

import numpy as np


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    v = v + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(v) + eps), v
