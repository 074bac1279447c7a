"""The final rate is always 0.

score: 26
says: the final rate is missing
"""

import numpy as np


def rate(t, peak, warm_up, steps, final=0.0):
    if t < warm_up:
        return peak * (t + 1) / (warm_up + 1)
    s = min((t - warm_up) / (steps - warm_up), 1)
    return peak * (1 + np.cos(np.pi * s)) / 2
