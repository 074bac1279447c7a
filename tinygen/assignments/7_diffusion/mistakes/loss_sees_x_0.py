"""The network gets the data without noise.

score: 24
says: the network sees x_0, not x_t
"""

import tinygen as tg


def loss(network, x_0, t, eps, alpha_bar):
    return tg.mean((network(x_0, t) - eps) ** 2)
