"""The number of steps is rounded up, so the last window leaves the image.

score: 28.93
says: one too many: the last window must end inside
"""

import numpy as np


def output_size(n, k, s=1, p=0):
    return int(np.ceil((n + 2 * p - k) / s)) + 1


def conv2d(x, w, s=1, p=0):
    (N, H, W, _), (K, L, _, O) = x.shape, w.shape
    rows, columns = (H + 2 * p - K) // s + 1, (W + 2 * p - L) // s + 1
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    y = np.zeros((N, rows, columns, O))
    for i in range(rows):
        for j in range(columns):
            y[:, i, j] = np.tensordot(x[:, s * i : s * i + K, s * j : s * j + L], w, 3)
    return y
