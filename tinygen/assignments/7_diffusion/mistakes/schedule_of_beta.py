"""The product is of β in place of α.

score: 25
says: it is a product of β, not of α = 1 − β
"""

import numpy as np


def alpha_bars(beta):
    return np.append(1.0, np.cumprod(beta))
