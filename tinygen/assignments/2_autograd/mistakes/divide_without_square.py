"""The derivative of 1/y is taken for −1/y.

score: 24.22
says: 1/y has the derivative −1/y²
"""


def divide(x, y):
    return Tensor(x.data / y.data, [(x, lambda g, z: g / y), (y, lambda g, z: -g * x / y)])
