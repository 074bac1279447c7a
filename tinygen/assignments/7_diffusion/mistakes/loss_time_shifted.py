"""The network is told t − 1.

score: 26
says: the network sees t − 1, but the noise is that of t
"""

import tinygen as tg


def loss(network, x_0, t, eps, alpha_bar):
    return tg.mean((network(q_sample(x_0, t, eps, alpha_bar), t - 1) - eps) ** 2)
