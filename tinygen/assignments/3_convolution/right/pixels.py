"""One image and one window at a time."""

import numpy as np


def rows_of(i, k, s, n, p):
    return slice(max(i * s - p, 0), min(i * s - p + k, n))


def inside(i, k, s, n, p):
    return slice(max(p - i * s, 0), min(n + p - i * s, k))


def conv2d(x, w, s=1, p=0):
    (N, H, W, _), (K, L, _, O) = x.shape, w.shape
    y = np.empty((N, output_size(H, K, s, p), output_size(W, L, s, p), O))
    for n, i, j in np.ndindex(*y.shape[:3]):
        seen = x[n, rows_of(i, K, s, H, p), rows_of(j, L, s, W, p)]
        part = w[inside(i, K, s, H, p), inside(j, L, s, W, p)]
        y[n, i, j] = seen.reshape(-1) @ part.reshape(-1, O)
    return y


def conv2d_weight(x, y, s=1, p=0, *, size):
    (_, H, W, C), (K, L) = x.shape, size
    w = np.zeros((K, L, C, y.shape[3]))
    for i, j in np.ndindex(*y.shape[1:3]):
        seen = x[:, rows_of(i, K, s, H, p), rows_of(j, L, s, W, p)]
        w[inside(i, K, s, H, p), inside(j, L, s, W, p)] += np.tensordot(seen, y[:, i, j], (0, 0))
    return w


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (K, L, C, _), (H, W) = w.shape, size
    x = np.zeros((len(y), H, W, C))
    for i, j in np.ndindex(*y.shape[1:3]):
        part = w[inside(i, K, s, H, p), inside(j, L, s, W, p)]
        x[:, rows_of(i, K, s, H, p), rows_of(j, L, s, W, p)] += np.tensordot(
            y[:, i, j], part, (1, 3)
        )
    return x
