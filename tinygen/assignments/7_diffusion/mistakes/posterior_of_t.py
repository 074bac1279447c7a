"""ᾱ_t in the place of ᾱ_{t−1}.

score: 24
says: ᾱ_t is in the place of ᾱ_{t−1}
"""

import numpy as np


def posterior(x_0, x_t, t, alpha_bar):
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    m1, v1 = x_t / np.sqrt(alpha), (1 - alpha) / alpha
    m2, v2 = x_0 * np.sqrt(alpha_bar[t]), 1 - alpha_bar[t]
    return (v2 * m1 + v1 * m2) / (v1 + v2), v1 * v2 / (v1 + v2)
