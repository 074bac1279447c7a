"""The derivative of −log σ² is forgotten.

score: 24.5
says: the derivative of −log σ² is missing
"""

import numpy as np


def kl_backward(g, mu, log_var):
    return g[:, None] * mu, g[:, None] * np.exp(log_var) / 2
