"""y's gradient in x − y has no minus sign.

score: 24.22
says: its sign is flipped
"""


def subtract(x, y):
    return Tensor(x.data - y.data, [(x, lambda g, z: g), (y, lambda g, z: g)])
