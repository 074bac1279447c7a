"""The second evaluation is at the old time.

score: 28
says: k₂ is evaluated at the old t
"""

import numpy as np


def heun(velocity, z, n):
    x, h = z, 1 / n
    for i in range(n):
        t = np.full((len(z), 1), i * h)
        k1 = velocity(x, t)
        k2 = velocity(x + h * k1, t)
        x = x + h * (k1 + k2) / 2
    return x
