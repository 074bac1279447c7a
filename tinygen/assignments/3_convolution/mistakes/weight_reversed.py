"""The filter's gradient is reversed, as if the layer reversed the filter.

score: 22.5
says: it is reversed
says: reversed along axes 0, 1
"""

import numpy as np


def conv2d_weight(x, y, s=1, p=0, *, size):
    (K, L), (_, rows, columns, O) = size, y.shape
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    w = np.zeros((K, L, x.shape[3], O))
    for k in range(K):
        for l in range(L):
            window = x[:, k : k + s * rows : s, l : l + s * columns : s]
            w[K - 1 - k, L - 1 - l] = np.einsum("nijc,nijo->co", window, y)
    return w
