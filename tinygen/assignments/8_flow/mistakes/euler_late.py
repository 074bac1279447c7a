"""The velocity is that of the end of the step.

score: 28.5
says: a step from t to t + h needs the velocity at t
"""

import numpy as np


def euler(velocity, z, n):
    x, h = z, 1 / n
    for i in range(1, n + 1):
        x = x + h * velocity(x, np.full((len(z), 1), i * h))
    return x
