"""The order by counting uses, and derivatives by other algebra."""

import numpy as np


def divide(x, y):
    def to_y(g, z):
        return negative(g) * (x / (y * y))

    return Tensor(x.data * (1 / y.data), [(x, lambda g, z: g * (1 / y)), (y, to_y)])


def tanh(x):
    return Tensor(np.tanh(x.data), [(x, lambda g, z: g * (1 + z) * (1 - z))])


def matmul(x, y):
    def to_x(g, z):
        return transpose(y @ transpose(g))

    def to_y(g, z):
        return transpose(transpose(g) @ x)

    return Tensor(np.matmul(x.data, y.data), [(x, to_x), (y, to_y)])


def ancestors(y):
    uses, found = {id(y): 0}, [y]
    for z in found:
        for x, _ in z.inputs:
            if id(x) not in uses:
                uses[id(x)] = 0
                found.append(x)
            uses[id(x)] += 1
    order, ready = [], [y]
    while ready:
        z = ready.pop()
        order.insert(0, z)
        for x, _ in z.inputs:
            uses[id(x)] -= 1
            if not uses[id(x)]:
                ready.append(x)
    return order


def hessian_product(y, x, v):
    (slope,) = grad(y, [x], Tensor(1.0))
    inner = slope * v
    return grad(total(inner, tuple(range(len(inner.shape)))), [x], Tensor(1.0))[0]
