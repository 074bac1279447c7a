"""Each axis as 0-1 matrices: the image's gradient is a correlation with a reversed filter."""

import numpy as np


def selection(n, k, s, p, count):
    """E[i, k, m] = 1 where window i sees pixel m at its place k"""
    i, place, m = np.ogrid[:count, :k, :n]
    return (s * i + place - p == m).astype(float)


def seen(x, size, s, p, rows, columns):
    a = selection(x.shape[1], size[0], s, p, rows)
    b = selection(x.shape[2], size[1], s, p, columns)
    z = np.tensordot(np.tensordot(x, a, (1, 2)), b, (1, 2))  # (N, C, H', K, W', L)
    return z.transpose(0, 2, 4, 3, 5, 1)


def conv2d(x, w, s=1, p=0):
    (_, H, W, _), (K, L, _, _) = x.shape, w.shape
    z = seen(x, (K, L), s, p, output_size(H, K, s, p), output_size(W, L, s, p))
    return np.tensordot(z, w, ((3, 4, 5), (0, 1, 2)))


def conv2d_weight(x, y, s=1, p=0, *, size):
    return np.tensordot(seen(x, size, s, p, *y.shape[1:3]), y, ((0, 1, 2), (0, 1, 2)))


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (N, rows, columns, O), (K, L, _, _), (H, W) = y.shape, w.shape, size
    spread = np.zeros((N, H + 2 * p + K - 1, W + 2 * p + L - 1, O))
    spread[:, K - 1 : K - 1 + s * rows : s, L - 1 : L - 1 + s * columns : s] = y
    full = conv2d(spread, w[::-1, ::-1].transpose(0, 1, 3, 2))
    return full[:, p : p + H, p : p + W]


def conv2d_backward(g, x, w, s=1, p=0):
    _, H, W, _ = x.shape
    return (
        conv_transpose2d(g, w, s, p, size=(H, W)),
        conv2d_weight(x, g, s, p, size=(len(w), len(w[0]))),
    )


def descent_step(x, w, y, s, p, lr):
    error = conv2d(x, w, s, p) - y
    gx, _ = conv2d_backward(error, x, w, s, p)
    return np.sum(error * error) / 2, x - lr * gx
