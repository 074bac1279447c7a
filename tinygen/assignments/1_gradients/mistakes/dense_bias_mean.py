"""The bias's gradient is the mean over the batch, not the sum.

score: 18.16
says: Mean instead of sum?
"""


def dense_backward(g, x, w, b):
    return g @ w.T, x.T @ g, g.mean(axis=0)
