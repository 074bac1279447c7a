"""The two gradients of conv2d are returned in the wrong order.

score: 28
says: is the order of the results right?
"""


def conv2d_backward(g, x, w, s=1, p=0):
    gx = conv_transpose2d(g, w, s, p, size=x.shape[1:3])
    return conv2d_weight(x, g, s, p, size=w.shape[:2]), gx
