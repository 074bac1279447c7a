"""The loss is a mean, but its gradient is not divided by N.

score: 15.5
says: Sum instead of mean?
"""

import numpy as np


def cross_entropy_backward(g, s, y):
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return g * p
