"""The norm is the sum of the arrays' norms.

score: 26
says: the sum of the arrays' norms
"""

import numpy as np


def clip(grads, c):
    norm = sum(np.sqrt(np.sum(g**2)) for g in grads)
    return [g * c / max(norm, c) for g in grads], norm
