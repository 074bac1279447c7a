"""The midpoint method.

score: 28
says: k₂ is evaluated at t + h/2, as in the midpoint method
"""

import numpy as np


def heun(velocity, z, n):
    x, h = z, 1 / n
    for i in range(n):
        t = np.full((len(z), 1), i * h)
        x = x + h * velocity(x + h / 2 * velocity(x, t), t + h / 2)
    return x
