"""The loss is a mean, and so is its gradient.

score: 26
says: a mean, not a sum
says: the gradient is of a mean
"""


def descent_step(x, w, y, s, p, lr):
    error = conv2d(x, w, s, p) - y
    gx = conv_transpose2d(error, w, s, p, size=x.shape[1:3]) / error.size
    return 0.5 * (error**2).mean(), x - lr * gx
