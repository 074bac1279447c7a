"""The rows are taken in order, the same in every minibatch.

score: 29
says: the rows come in order
"""

import numpy as np


def minibatch(x, n, T, rng):
    x_0 = x[np.arange(n) % len(x)]
    return x_0, rng.integers(1, T + 1, n), rng.standard_normal(x_0.shape)
