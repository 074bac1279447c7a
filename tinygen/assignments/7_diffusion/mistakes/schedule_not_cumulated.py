"""α_t in place of ᾱ_t.

score: 25
says: it is α_t, not the product of all up to t
"""

import numpy as np


def alpha_bars(beta):
    return np.append(1.0, 1 - beta)
