"""log_var is used as log σ.

score: 20.5
says: but is used as log σ
"""

import tinygen as tg


def kl(mu, log_var):
    return 0.5 * tg.sum(mu * mu + tg.exp(log_var) ** 2 - 1 - 2 * log_var, axis=-1)
