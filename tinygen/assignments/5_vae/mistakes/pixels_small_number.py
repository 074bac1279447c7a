"""A small number is added before the log.

score: 24
says: logits or probabilities are clipped
"""

import tinygen as tg


def log_bernoulli(x, logits):
    p = tg.sigmoid(logits)
    return tg.sum(x * tg.log(p + 1e-8) + (1 - x) * tg.log(1 - p + 1e-8), axis=-1)
