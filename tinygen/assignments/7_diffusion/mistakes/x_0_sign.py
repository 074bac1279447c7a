"""The noise is added, not subtracted.

score: 21.83
says: the noise is added, not subtracted
"""

import numpy as np


def predicted_x_0(x_t, eps, t, alpha_bar):
    return (x_t + np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(alpha_bar[t])
