"""The logits are used as probabilities' exponents: log p = x l.

score: 18
says: the term of x = 0 is missing
"""

import tinygen as tg


def log_bernoulli(x, logits):
    return tg.sum(x * tg.log(tg.sigmoid(logits)), axis=-1)
