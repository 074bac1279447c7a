"""The cotangent is not used.

score: 23
says: g is not used
"""

import numpy as np


def kl_backward(g, mu, log_var):
    return mu, (np.exp(log_var) - 1) / 2
