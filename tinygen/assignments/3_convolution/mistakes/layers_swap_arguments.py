"""The two arguments of conv2d_weight are exchanged.

score: 27
says: `conv_transpose2d_backward` raised
"""


def conv_transpose2d_backward(g, y, w, s=1, p=0):
    return conv2d(g, w, s, p), conv2d_weight(y, g, s, p, size=w.shape[:2])
