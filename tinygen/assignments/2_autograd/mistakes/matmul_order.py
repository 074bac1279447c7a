"""The gradients of a matrix product have their factors in the wrong order.

score: 22
says: the factors are in the wrong order
"""


def matmul(x, y):
    to_x, to_y = lambda g, z: transpose(y) @ g, lambda g, z: g @ transpose(x)
    return Tensor(x.data @ y.data, [(x, to_x), (y, to_y)])
