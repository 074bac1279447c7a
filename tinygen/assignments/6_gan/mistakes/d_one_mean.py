"""One mean over all scores.

score: 22.66
says: one mean over all N + M scores
says: divided by N + M
"""

import tinygen as tg


def discriminator_loss(r, f):
    return tg.mean(tg.concat([tg.softplus(-r), tg.softplus(f)]))


def discriminator_backward(g, r, f):
    n = len(r) + len(f)
    return -g * sigmoid(-r) / n, g * sigmoid(f) / n
