"""Each array is clipped by its own norm.

score: 26.67
says: each array is clipped by its own norm
"""

import numpy as np


def clip(grads, c):
    norms = [np.sqrt(np.sum(g**2)) for g in grads]
    clipped = [g * min(1, c / max(n, 1e-300)) for g, n in zip(grads, norms, strict=True)]
    return clipped, np.sqrt(sum(n**2 for n in norms))
