"""The last step is missing.

score: 27.5
says: the last step is missing
"""

import numpy as np


def euler(velocity, z, n):
    x, h = z, 1 / n
    for i in range(n - 1):
        x = x + h * velocity(x, np.full((len(z), 1), i * h))
    return x
