"""ε is inside the root.

score: 28
says: ε is inside the root
"""

import numpy as np


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    v = alpha * v + (1 - alpha) * g**2
    return p - lr * g / np.sqrt(v + eps), v
