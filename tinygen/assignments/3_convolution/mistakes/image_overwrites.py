"""Stamps overwrite each other.

score: 21.25
says: stamps overwrite each other
"""

import numpy as np


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (N, rows, columns, _), (K, L, C, _), (H, W) = y.shape, w.shape, size
    x = np.zeros((N, H + 2 * p, W + 2 * p, C))
    for i in range(rows):
        for j in range(columns):
            stamps = np.einsum("no,klco->nklc", y[:, i, j], w)
            x[:, s * i : s * i + K, s * j : s * j + L] = stamps
    return x[:, p : p + H, p : p + W]
