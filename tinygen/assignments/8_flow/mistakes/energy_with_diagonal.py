"""The means within a set include i = j.

score: 28
says: the means within a set count i = j
"""

import numpy as np


def energy_distance(a, b):
    def mean(a, b):
        return np.sqrt(((a[:, None] - b) ** 2).sum(axis=2)).mean()

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)
