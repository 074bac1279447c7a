"""A sum over the batch.

score: 15
says: a sum over the batch, not a mean
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    norm = tg.sqrt(tg.sum(v * v, axis=1) + 1e-12)
    return tg.sum((norm - 1) ** 2)
