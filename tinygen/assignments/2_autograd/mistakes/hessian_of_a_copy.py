"""The gradient is copied into a new Tensor, and forgets how it was computed.

score: 24
says: the gradient is taken for a constant
"""


def hessian_product(y, x, v):
    slope = Tensor(grad(y, [x], Tensor(1.0))[0].data)
    return grad(slope, [x], v)[0]
