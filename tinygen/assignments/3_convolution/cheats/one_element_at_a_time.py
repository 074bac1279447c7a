"""One call of the layer for each element: exact, since it is linear, but hopeless.

Question 1, and question 5 on small images, are honest.

score: 10

says: did not return within 10 s
"""

import numpy as np


def conv2d_weight(x, y, s=1, p=0, *, size):
    w = np.zeros((*size, x.shape[3], y.shape[3]))
    found = np.zeros_like(w)
    for k in np.ndindex(*w.shape):
        w[k] = 1
        found[k] = np.sum(conv2d(x, w, s, p) * y)
        w[k] = 0
    return found


def conv_transpose2d(y, w, s=1, p=0, *, size):
    x = np.zeros((len(y), *size, w.shape[2]))
    found = np.zeros_like(x)
    for k in np.ndindex(*x.shape):
        x[k] = 1
        found[k] = np.sum(conv2d(x, w, s, p) * y)
        x[k] = 0
    return found
