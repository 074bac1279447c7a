"""The gradients of a matrix product lack the transposes.

score: 22
says: the other matrix must be transposed
"""


def matmul(x, y):
    return Tensor(x.data @ y.data, [(x, lambda g, z: g @ y), (y, lambda g, z: x @ g)])
