"""Small gradients are scaled up to the norm c.

score: 28
says: it is scaled up to the norm c
"""

import numpy as np


def clip(grads, c):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    return [g * c / max(norm, 1e-300) for g in grads], norm
