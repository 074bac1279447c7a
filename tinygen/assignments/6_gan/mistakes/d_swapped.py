"""The labels of real and generated are swapped.

score: 22.66
says: real and generated are swapped
"""

import tinygen as tg


def discriminator_loss(r, f):
    return tg.mean(tg.softplus(r)) + tg.mean(tg.softplus(-f))


def discriminator_backward(g, r, f):
    return g * sigmoid(r) / len(r), -g * sigmoid(-f) / len(f)
