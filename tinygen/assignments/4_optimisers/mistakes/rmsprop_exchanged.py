"""α and 1 − α are exchanged.

score: 24
says: α and 1 − α are exchanged
"""

import numpy as np


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    v = (1 - alpha) * v + alpha * g**2
    return p - lr * g / (np.sqrt(v) + eps), v
