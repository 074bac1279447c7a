"""All of the padding is cut off at the end.

score: 23.25
says: the padding is cut off at the end only
"""

import numpy as np


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (N, rows, columns, _), (K, L, C, _), (H, W) = y.shape, w.shape, size
    x = np.zeros((N, H + 2 * p, W + 2 * p, C))
    for k in range(K):
        for l in range(L):
            x[:, k : k + s * rows : s, l : l + s * columns : s] += y @ w[k, l].T
    return x[:, :H, :W]
