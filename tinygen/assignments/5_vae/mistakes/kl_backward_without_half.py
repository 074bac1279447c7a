"""The ½ before σ² is forgotten.

score: 24.5
says: the ½ is missing
"""

import numpy as np


def kl_backward(g, mu, log_var):
    return g[:, None] * mu, g[:, None] * (np.exp(log_var) - 1)
