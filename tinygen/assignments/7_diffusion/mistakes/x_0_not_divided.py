"""x̂_0 is x_t without its noise, but not scaled up.

score: 21.33
says: it is not divided by √ᾱ_t
"""

import numpy as np


def predicted_x_0(x_t, eps, t, alpha_bar):
    return x_t - np.sqrt(1 - alpha_bar[t]) * eps
