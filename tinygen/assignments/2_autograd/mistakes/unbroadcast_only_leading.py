"""Only the axes in front are summed, not those of length 1.

score: 21
says: It has shape (3, 4) in place of (3, 1)
"""


def unbroadcast(g, shape):
    return total(g, tuple(range(len(g.shape) - len(shape))))
