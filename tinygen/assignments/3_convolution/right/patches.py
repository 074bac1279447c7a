"""One matrix of patches, its product, and its adjoint."""

import numpy as np


def patches(x, size, s, p):
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    z = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))[:, ::s, ::s]
    return np.moveaxis(z, 3, 5)  # (N, H', W', K, L, C)


def output_size(n, k, s=1, p=0):
    return len(range(0, n + 2 * p - k + 1, s))


def conv2d(x, w, s=1, p=0):
    return np.tensordot(patches(x, w.shape[:2], s, p), w, 3)


def conv2d_weight(x, y, s=1, p=0, *, size):
    return np.tensordot(patches(x, size, s, p), y, ((0, 1, 2), (0, 1, 2)))


def conv_transpose2d(y, w, s=1, p=0, *, size):
    z = np.tensordot(y, w, (3, 3))
    x = np.zeros((len(y), size[0] + 2 * p, size[1] + 2 * p, w.shape[2]))
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            x[:, i * s : i * s + w.shape[0], j * s : j * s + w.shape[1]] += z[:, i, j]
    return x[:, p : x.shape[1] - p, p : x.shape[2] - p]
