"""log_var is used as the variance.

score: 16.5
says: but is used as σ²
"""

import tinygen as tg


def kl(mu, log_var):
    return 0.5 * tg.sum(mu * mu + log_var - 1 - tg.log(log_var), axis=-1)
