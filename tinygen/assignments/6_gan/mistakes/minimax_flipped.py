"""The minimax loss is minimised with the wrong sign.

score: 24.66
says: the generator minimises log(1 − σ(f))
"""

import tinygen as tg


def minimax_loss(f):
    return tg.mean(tg.softplus(f))
