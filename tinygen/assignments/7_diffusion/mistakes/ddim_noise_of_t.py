"""The noise keeps the scale of t.

score: 24.33
says: the noise is scaled by √(1 − ᾱ_t), not by √(1 − ᾱ_s)
says: noise is left
"""

import numpy as np


def ddim_step(x_t, eps, t, s, alpha_bar):
    x_0 = predicted_x_0(x_t, eps, t, alpha_bar)
    return np.sqrt(alpha_bar[s]) * x_0 + np.sqrt(1 - alpha_bar[t]) * eps
