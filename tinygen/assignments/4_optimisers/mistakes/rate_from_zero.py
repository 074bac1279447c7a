"""The cosine counts its steps from 0, not from the end of the warm-up.

score: 26.33
says: the cosine counts t from 0, not from W
"""

import numpy as np


def rate(t, peak, warm_up, steps, final=0.0):
    if t < warm_up:
        return peak * (t + 1) / (warm_up + 1)
    s = min(t / steps, 1)
    return final + (peak - final) * (1 + np.cos(np.pi * s)) / 2
