"""The probabilities are clipped.

score: 24
says: logits or probabilities are clipped
"""

import tinygen as tg


def log_bernoulli(x, logits):
    p = tg.clip(tg.sigmoid(logits), 1e-7, 1 - 1e-7)
    return tg.sum(x * tg.log(p) + (1 - x) * tg.log(1 - p), axis=-1)
