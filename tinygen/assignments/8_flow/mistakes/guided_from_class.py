"""The difference is added to the velocity of the class.

score: 28
says: w is added to the velocity of the class
"""

import numpy as np


def guided(velocity, x, t, y, w):
    v = velocity(x, t, y)
    return v + w * (v - velocity(x, t, np.full(len(y), ANY)))
