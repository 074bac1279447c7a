"""The noise has the scale 1 − ᾱ_t, without the root.

score: 24.5
says: √(1 − ᾱ_t) is without its root
says: Is there a root over 1 − ᾱ_t?
"""

import numpy as np


def q_sample(x_0, t, eps, alpha_bar):
    at_t = alpha_bar[t].reshape(-1, *[1] * (x_0.ndim - 1))
    return np.sqrt(at_t) * x_0 + (1 - at_t) * eps
