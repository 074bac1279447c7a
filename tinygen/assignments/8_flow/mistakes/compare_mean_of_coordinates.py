"""The squares are averaged over coordinates too.

score: 30
says: sum the squares of a point's coordinates
"""

import numpy as np


def compare(velocity, z, exact, calls):
    def error(x):
        return np.sqrt(((x - exact) ** 2).mean())

    return np.array(
        [[error(euler(velocity, z, n)), error(heun(velocity, z, n // 2))] for n in calls]
    )
