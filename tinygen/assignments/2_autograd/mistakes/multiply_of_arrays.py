"""Every gradient of a product is an array, so second derivatives are lost.

score: 24
says: a vjp computes with arrays, not with Tensors
"""


def multiply(x, y):
    to_x, to_y = lambda g, z: Tensor(g.data * y.data), lambda g, z: Tensor(g.data * x.data)
    return Tensor(x.data * y.data, [(x, to_x), (y, to_y)])
