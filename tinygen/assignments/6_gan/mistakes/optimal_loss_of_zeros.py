"""0 log 0 is not a number.

score: 25
says: 0 log 0 is 0
"""

import numpy as np


def optimal_loss(p, q):
    a = p / (p + q)
    return -np.sum(p * np.log(a) + q * np.log(1 - a))
