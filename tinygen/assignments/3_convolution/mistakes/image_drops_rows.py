"""The image ends where the last window ends.

score: 21.75
says: the pixels that no window covers are missing
"""

import numpy as np


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (N, rows, columns, _), (K, L, C, _), _ = y.shape, w.shape, size
    H, W = s * (rows - 1) + K - 2 * p, s * (columns - 1) + L - 2 * p
    x = np.zeros((N, H + 2 * p, W + 2 * p, C))
    for k in range(K):
        for l in range(L):
            x[:, k : k + s * rows : s, l : l + s * columns : s] += y @ w[k, l].T
    return x[:, p : p + H, p : p + W]
