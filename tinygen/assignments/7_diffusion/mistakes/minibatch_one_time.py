"""One time for the whole minibatch.

score: 29
says: all rows have the same time
"""

import numpy as np


def minibatch(x, n, T, rng):
    x_0 = x[rng.integers(0, len(x), n)]
    return x_0, np.full(n, rng.integers(1, T + 1)), rng.standard_normal(x_0.shape)
