"""The loss has no ½, and its gradient a factor 2.

score: 27
says: the ½ is missing
says: the step is twice as long
"""


def descent_step(x, w, y, s, p, lr):
    error = conv2d(x, w, s, p) - y
    gx = 2 * conv_transpose2d(error, w, s, p, size=x.shape[1:3])
    return (error**2).sum(), x - lr * gx
