"""The root of 0 has no derivative.

score: 25
says: add 10⁻¹² under the root
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    norm = tg.sqrt(tg.sum(v * v, axis=1))
    return tg.mean((norm - 1) ** 2)
