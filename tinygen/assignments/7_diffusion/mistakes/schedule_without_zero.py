"""ᾱ starts at t = 1: the array has T elements.

score: 25
says: ᾱ_0 = 1 is missing
says: it has T elements, not T + 1: put ᾱ_0 = 1 first
"""

import numpy as np


def alpha_bars(beta):
    return np.cumprod(1 - beta)
