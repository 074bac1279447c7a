"""The network is not told the time.

score: 23
says: the network sees t = 0 for all rows
"""

import tinygen as tg


def loss(network, x_0, t, eps, alpha_bar):
    return tg.mean((network(q_sample(x_0, t, eps, alpha_bar), 0 * t) - eps) ** 2)
