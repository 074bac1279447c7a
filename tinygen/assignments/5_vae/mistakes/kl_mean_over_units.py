"""The KL is a mean over the units.

score: 20
says: a mean over the units, not a sum
"""

import tinygen as tg


def kl(mu, log_var):
    return 0.5 * tg.mean(mu * mu + tg.exp(log_var) - 1 - log_var, axis=-1)
