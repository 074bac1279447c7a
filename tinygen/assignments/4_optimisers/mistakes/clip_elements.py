"""Each element is clipped.

score: 26.67
says: each element is clipped by itself
"""

import numpy as np


def clip(grads, c):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    return [np.clip(g, -c, c) for g in grads], norm
