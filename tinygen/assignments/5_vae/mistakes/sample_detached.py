"""σ is detached: the sample has no gradient with respect to log σ².

score: 24.75
says: it is zero where it should not be
"""

import tinygen as tg


def reparameterise(mu, log_var, eps):
    return mu + tg.exp(log_var / 2).detach() * eps
