"""The prediction is compared with x_0, not with ε.

score: 23
says: the target is x_0, not ε
"""

import tinygen as tg


def loss(network, x_0, t, eps, alpha_bar):
    return tg.mean((network(q_sample(x_0, t, eps, alpha_bar), t) - x_0) ** 2)
