"""The two velocities are added, not averaged.

score: 27.5
says: the step must be h times half of k₁ + k₂
"""

import numpy as np


def heun(velocity, z, n):
    x, h = z, 1 / n
    for i in range(n):
        t = np.full((len(z), 1), i * h)
        k1 = velocity(x, t)
        k2 = velocity(x + h * k1, t + h)
        x = x + h * (k1 + k2)
    return x
