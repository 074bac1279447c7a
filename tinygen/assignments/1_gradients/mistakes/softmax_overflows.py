"""The softmax does not subtract the largest logit.

score: 23.5
says: subtract the row's largest logit first
"""

import numpy as np


def cross_entropy(s, y):
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]).mean()
