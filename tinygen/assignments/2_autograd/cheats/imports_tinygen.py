"""Lets tinygen do the backward pass.

says: `tinygen` may not be imported
"""

import tinygen as tg


def grad(y, xs, g):
    return tg.grad(y, xs, cotangent=g)


def hessian_product(y, x, v):
    return tg.grad(tg.grad(y, x, create_graph=True), x, cotangent=v)
