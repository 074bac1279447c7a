"""The prediction becomes an array, so no gradient reaches the weights.

score: 26
says: is the prediction still a Tensor?
"""

import numpy as np

import tinygen as tg


def loss(network, x_0, t, eps, alpha_bar):
    eps_hat = network(q_sample(x_0, t, eps, alpha_bar), t).numpy()
    return tg.as_tensor(np.mean((eps_hat - eps) ** 2))
