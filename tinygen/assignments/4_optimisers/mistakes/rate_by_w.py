"""The warm-up is divided by W, so that it reaches the peak one step early.

score: 26.33
says: divided by W, not by W + 1
"""

import numpy as np


def rate(t, peak, warm_up, steps, final=0.0):
    if t < warm_up:
        return peak * (t + 1) / warm_up
    s = min((t - warm_up) / (steps - warm_up), 1)
    return final + (peak - final) * (1 + np.cos(np.pi * s)) / 2
