"""The filter's gradient is (K, L, O, C).

score: 22.5
says: transposed
"""

import numpy as np


def conv2d_weight(x, y, s=1, p=0, *, size):
    (K, L), (_, rows, columns, O) = size, y.shape
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    w = np.zeros((K, L, O, x.shape[3]))
    for k in range(K):
        for l in range(L):
            window = x[:, k : k + s * rows : s, l : l + s * columns : s]
            w[k, l] = np.einsum("nijc,nijo->oc", window, y)
    return w
