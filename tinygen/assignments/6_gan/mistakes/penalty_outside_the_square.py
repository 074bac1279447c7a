"""The mean is squared, not each row.

score: 20
says: a mean of the norms, then the square
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    norm = tg.sqrt(tg.sum(v * v, axis=1) + 1e-12)
    return (tg.mean(norm) - 1) ** 2
