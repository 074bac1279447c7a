"""One norm for the whole batch.

score: 19
says: the norm is that of the whole batch
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    return (tg.sqrt(tg.sum(v * v) + 1e-12) - 1) ** 2
