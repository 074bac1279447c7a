"""The loops over i and j fill y[n, j, i].

score: 18
says: rows and columns are swapped
"""

import numpy as np


def conv2d(x, w, s=1, p=0):
    (N, H, W, _), (K, L, _, O) = x.shape, w.shape
    rows, columns = output_size(H, K, s, p), output_size(W, L, s, p)
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    y = np.zeros((N, columns, rows, O))
    for i in range(rows):
        for j in range(columns):
            y[:, j, i] = np.tensordot(x[:, s * i : s * i + K, s * j : s * j + L], w, 3)
    return y
