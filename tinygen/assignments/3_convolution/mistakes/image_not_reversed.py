"""A correlation of the spread-out y, in which the filter should be reversed.

score: 19
says: the filter is reversed
says: That of `w` reversed along axes 0, 1
"""

import numpy as np


def conv_transpose2d(y, w, s=1, p=0, *, size):
    (N, rows, columns, O), (K, L, _, _), (H, W) = y.shape, w.shape, size
    spread = np.zeros((N, H + 2 * p + K - 1, W + 2 * p + L - 1, O))
    spread[:, K - 1 : K - 1 + s * rows : s, L - 1 : L - 1 + s * columns : s] = y
    z = np.lib.stride_tricks.sliding_window_view(spread, (K, L), (1, 2))
    return np.einsum("nijokl,klco->nijc", z, w)[:, p : p + H, p : p + W]
