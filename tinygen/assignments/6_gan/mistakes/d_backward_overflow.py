"""A sigmoid that overflows.

score: 25.5
says: eˢ overflows
"""

import numpy as np


def discriminator_backward(g, r, f):
    r_bar = -g * np.exp(-r) / (1 + np.exp(-r)) / len(r)
    return r_bar, g * np.exp(f) / (1 + np.exp(f)) / len(f)
