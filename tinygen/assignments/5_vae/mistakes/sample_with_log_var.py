"""log_var is used as σ.

score: 9.5
says: `log_var` is used as σ
"""


def reparameterise(mu, log_var, eps):
    return mu + log_var * eps
