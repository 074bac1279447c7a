"""The weight's gradient is transposed: right in shape only if the layer is square.

score: 17.66
says: transposed
"""


def dense_backward(g, x, w, b):
    return g @ w.T, g.T @ x, g.sum(axis=0)
