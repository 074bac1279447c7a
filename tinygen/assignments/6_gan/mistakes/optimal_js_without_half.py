"""JS lacks its ½.

score: 24
says: JS lacks its ½
"""

import numpy as np


def optimal_loss(p, q):
    def kl(a, m):
        return np.sum(a[a > 0] * np.log(a[a > 0] / m[a > 0]))

    m = (p + q) / 2
    return np.log(4) - 2 * (kl(p, m) + kl(q, m))
