"""The gradient is y − p in place of p − y.

score: 15.5
says: its sign is flipped
"""

import numpy as np


def cross_entropy_backward(g, s, y):
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return g * (np.eye(s.shape[1])[y] - p) / len(y)
