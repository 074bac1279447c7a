"""The target is 0, as in R1.

score: 18
says: a penalty whose target is 0
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    return tg.mean(tg.sum(v * v, axis=1))
