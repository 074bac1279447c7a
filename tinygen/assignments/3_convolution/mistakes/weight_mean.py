"""A mean over the batch.

score: 22.5
says: a mean over the batch, not a sum
says: Mean instead of sum?
"""

import numpy as np


def conv2d_weight(x, y, s=1, p=0, *, size):
    (K, L), (N, rows, columns, O) = size, y.shape
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    w = np.zeros((K, L, x.shape[3], O))
    for k in range(K):
        for l in range(L):
            window = x[:, k : k + s * rows : s, l : l + s * columns : s]
            w[k, l] = np.einsum("nijc,nijo->co", window, y) / N
    return w
