"""The minimax loss in place of the non-saturating one.

score: 23.66
says: this is the minimax loss
says: this is the gradient of the minimax loss
"""

import tinygen as tg


def generator_loss(f):
    return -tg.mean(tg.softplus(f))


def generator_backward(g, f):
    return -g * sigmoid(f) / len(f)
