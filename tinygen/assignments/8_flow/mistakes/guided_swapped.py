"""The two velocities are swapped.

score: 28.5
says: the two velocities are swapped
"""

import numpy as np


def guided(velocity, x, t, y, w):
    v = velocity(x, t, y)
    return v + w * (velocity(x, t, np.full(len(y), ANY)) - v)
