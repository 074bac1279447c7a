"""The log of a sigmoid.

score: 24
says: the sigmoid of a logit rounds to 0 or 1
"""

import tinygen as tg


def log_bernoulli(x, logits):
    p = tg.sigmoid(logits)
    return tg.sum(x * tg.log(p) + (1 - x) * tg.log(1 - p), axis=-1)
