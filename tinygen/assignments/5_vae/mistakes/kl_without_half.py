"""The KL lacks its ½; the gradient is right.

score: 20
says: the ½ is missing
"""

import tinygen as tg


def kl(mu, log_var):
    return tg.sum(mu * mu + tg.exp(log_var) - 1 - log_var, axis=-1)
