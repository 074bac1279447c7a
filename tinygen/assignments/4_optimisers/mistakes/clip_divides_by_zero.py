"""A norm of 0 gives 0/0.

score: 28
says: ‖g‖ may be 0
"""

import numpy as np


def clip(grads, c):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    return [g * np.minimum(1, norm * c / norm / norm) for g in grads], norm
