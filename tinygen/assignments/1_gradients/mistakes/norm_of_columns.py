"""The statistics are those of columns: a batch norm.

score: 17
says: the statistics are those of columns
"""

import numpy as np


def layer_norm(x, gamma, beta):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) + beta
