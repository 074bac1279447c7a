"""The gradient's own graph is not kept.

score: 18
says: is create_graph=True missing?
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x)
    norm = tg.sqrt(tg.sum(v * v, axis=1) + 1e-12)
    return tg.mean((norm - 1) ** 2)
