"""The norm is over the batch, one for each column.

score: 19
says: the norms are of columns, not of rows
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    return tg.mean((tg.sqrt(tg.sum(v * v, axis=0) + 1e-12) - 1) ** 2)
