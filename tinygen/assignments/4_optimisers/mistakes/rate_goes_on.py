"""After T the cosine rises again.

score: 26.67
says: after T it stays at the final rate
"""

import numpy as np


def rate(t, peak, warm_up, steps, final=0.0):
    if t < warm_up:
        return peak * (t + 1) / (warm_up + 1)
    s = (t - warm_up) / (steps - warm_up)
    return final + (peak - final) * (1 + np.cos(np.pi * s)) / 2
