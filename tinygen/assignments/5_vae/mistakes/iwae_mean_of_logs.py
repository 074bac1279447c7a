"""The mean of the logs: k ELBOs.

score: 22
says: the mean of log w, not the log of the mean
"""

import tinygen as tg


def iwae(x, mu, log_var, eps, likelihood):
    return tg.mean(log_weights(x, mu, log_var, eps, likelihood))
