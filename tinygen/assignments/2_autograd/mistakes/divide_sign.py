"""The derivative of 1/y has no minus sign.

score: 24.22
says: its sign is flipped
"""


def divide(x, y):
    return Tensor(x.data / y.data, [(x, lambda g, z: g / y), (y, lambda g, z: g * x / (y * y))])
