"""The warm-up begins with the rate 0.

score: 26.33
says: the warm-up is one step late
"""

import numpy as np


def rate(t, peak, warm_up, steps, final=0.0):
    if t < warm_up:
        return peak * t / warm_up
    s = min((t - warm_up) / (steps - warm_up), 1)
    return final + (peak - final) * (1 + np.cos(np.pi * s)) / 2
