"""It follows the velocity from 1 to 0.

score: 27.5
says: the step goes backwards
"""

import numpy as np


def euler(velocity, z, n):
    x, h = z, 1 / n
    for i in range(n, 0, -1):
        x = x - h * velocity(x, np.full((len(z), 1), i * h))
    return x
