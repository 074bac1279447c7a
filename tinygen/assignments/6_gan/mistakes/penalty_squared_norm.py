"""(‖v‖² − 1)².

score: 19
says: (‖v‖² − 1)², not (‖v‖ − 1)²
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    return tg.mean((tg.sum(v * v, axis=1) - 1) ** 2)
