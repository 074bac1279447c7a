"""The bias's gradient keeps the batch axis.

score: 18.16
says: a sum over a broadcast axis is missing
"""


def dense_backward(g, x, w, b):
    return g @ w.T, x.T @ g, g
