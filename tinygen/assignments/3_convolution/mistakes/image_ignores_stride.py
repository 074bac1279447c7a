"""The stamps are neighbours, whatever s is.

score: 22
says: the stride is ignored
"""

import numpy as np


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (N, rows, columns, _), (K, L, C, _), (H, W) = y.shape, w.shape, size
    x = np.zeros((N, H + 2 * p, W + 2 * p, C))
    for k in range(K):
        for l in range(L):
            x[:, k : k + rows, l : l + columns] += y @ w[k, l].T
    return x[:, p : p + H, p : p + W]
