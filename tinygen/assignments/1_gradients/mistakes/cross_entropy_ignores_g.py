"""The gradient ignores the cotangent g.

score: 21
says: does not depend on `g`
"""

import numpy as np


def cross_entropy_backward(g, s, y):
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return p / len(y)
