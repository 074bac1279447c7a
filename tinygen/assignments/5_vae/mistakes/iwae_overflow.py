"""The weights themselves, which underflow.

score: 25
says: all weights round to 0
"""

import tinygen as tg


def iwae(x, mu, log_var, eps, likelihood):
    w = tg.exp(log_weights(x, mu, log_var, eps, likelihood))
    return tg.mean(tg.log(tg.mean(w, axis=0)))
