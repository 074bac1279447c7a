"""The patches' axes are (C, K, L), the filter's (K, L, C).

score: 19
says: flattened in different orders
"""

import numpy as np


def conv2d(x, w, s=1, p=0):
    K, L, _, O = w.shape
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    z = np.lib.stride_tricks.sliding_window_view(x, (K, L), (1, 2))[:, ::s, ::s]
    return z.reshape(*z.shape[:3], -1) @ w.reshape(-1, O)
