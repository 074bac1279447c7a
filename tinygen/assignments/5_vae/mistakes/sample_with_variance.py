"""σ is exp(log_var), which is σ².

score: 13.5
says: exp(log_var) is σ², not σ
"""

import tinygen as tg


def reparameterise(mu, log_var, eps):
    return mu + tg.exp(log_var) * eps
