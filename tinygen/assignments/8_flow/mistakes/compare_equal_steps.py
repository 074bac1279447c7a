"""Both methods get the same number of steps.

score: 29.5
says: equal numbers of steps, not of calls
"""

import numpy as np


def compare(velocity, z, exact, calls):
    def error(x):
        return np.sqrt(((x - exact) ** 2).sum(axis=1).mean())

    return np.array([[error(euler(velocity, z, n)), error(heun(velocity, z, n))] for n in calls])
