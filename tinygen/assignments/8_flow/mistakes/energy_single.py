"""The distance between the sets counts once.

score: 28
says: the factor 2 is missing
"""

import numpy as np


def energy_distance(a, b):
    def total(a, b):
        return np.sqrt(((a[:, None] - b) ** 2).sum(axis=2)).sum()

    n, m = len(a), len(b)
    within = total(a, a) / (n * (n - 1)) + total(b, b) / (m * (m - 1))
    return total(a, b) / (n * m) - within
