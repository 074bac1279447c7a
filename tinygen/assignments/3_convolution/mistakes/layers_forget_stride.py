"""The transposed convolution's gradient forgets s and p.

score: 27
says: Are s, p and the size passed on
"""


def conv_transpose2d_backward(g, y, w, s=1, p=0):
    return conv2d(g, w), conv2d_weight(g, y, size=w.shape[:2])
