"""The average is over the batch.

score: 22
says: not over the k samples
"""

import numpy as np

import tinygen as tg


def iwae(x, mu, log_var, eps, likelihood):
    log_w = log_weights(x, mu, log_var, eps, likelihood)
    return tg.mean(tg.logsumexp(log_w, axis=1) - np.log(log_w.shape[1]))
