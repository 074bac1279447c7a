"""A mathematician's convolution: the filter is reversed.

score: 18
says: the filter is reversed
"""

import numpy as np


def conv2d(x, w, s=1, p=0):
    (N, H, W, _), (K, L, _, O) = x.shape, w.shape
    rows, columns = output_size(H, K, s, p), output_size(W, L, s, p)
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    y = np.zeros((N, rows, columns, O))
    for k in range(K):
        for l in range(L):
            y += x[:, k : k + s * rows : s, l : l + s * columns : s] @ w[K - 1 - k, L - 1 - l]
    return y
