"""V in place of the loss.

score: 24.5
says: this is V, the negative of the loss
"""

import numpy as np


def optimal_loss(p, q):
    a, b = p / (p + q), q / (p + q)
    return np.sum(p * np.log(np.where(p > 0, a, 1)) + q * np.log(np.where(q > 0, b, 1)))
