"""The gradient of the mean score is N times too small.

score: 16
says: the gradient is that of the mean of the scores
"""

import tinygen as tg


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.mean(D(x, *weights)), x, create_graph=True)
    norm = tg.sqrt(tg.sum(v * v, axis=1) + 1e-12)
    return tg.mean((norm - 1) ** 2)
