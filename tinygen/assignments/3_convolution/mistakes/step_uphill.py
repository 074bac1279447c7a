"""The step adds the gradient.

score: 27.5
says: the step goes uphill
"""


def descent_step(x, w, y, s, p, lr):
    error = conv2d(x, w, s, p) - y
    gx = conv_transpose2d(error, w, s, p, size=x.shape[1:3])
    return 0.5 * (error**2).sum(), x + lr * gx
