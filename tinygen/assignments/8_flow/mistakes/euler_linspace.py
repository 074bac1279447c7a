"""n times make n − 1 steps.

score: 27.5
says: n steps of length 1/n, not
"""

import numpy as np


def euler(velocity, z, n):
    x, times = z, np.linspace(0, 1, n)
    for i in range(n - 1):
        x = x + (times[i + 1] - times[i]) * velocity(x, np.full((len(z), 1), times[i]))
    return x
