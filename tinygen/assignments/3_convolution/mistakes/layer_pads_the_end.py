"""All the zeros are at the end.

score: 22.33
says: all 2p zeros are at the end
"""

import numpy as np


def conv2d(x, w, s=1, p=0):
    (N, H, W, _), (K, L, _, O) = x.shape, w.shape
    rows, columns = output_size(H, K, s, p), output_size(W, L, s, p)
    x = np.pad(x, ((0, 0), (0, 2 * p), (0, 2 * p), (0, 0)))
    y = np.zeros((N, rows, columns, O))
    for k in range(K):
        for l in range(L):
            y += x[:, k : k + s * rows : s, l : l + s * columns : s] @ w[k, l]
    return y
