"""The cosine rises from the final rate to the peak.

score: 25
says: it is at the wrong end
"""

import numpy as np


def rate(t, peak, warm_up, steps, final=0.0):
    if t < warm_up:
        return peak * (t + 1) / (warm_up + 1)
    s = min((t - warm_up) / (steps - warm_up), 1)
    return final + (peak - final) * (1 - np.cos(np.pi * s)) / 2
