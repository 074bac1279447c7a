"""A sum over all elements.

score: 25
says: a sum over all elements, not a mean
says: Sum instead of mean?
"""

import tinygen as tg


def matching_loss(v, u):
    return tg.sum((v - u) ** 2)
