"""V, not −V.

score: 24.66
says: the sign is wrong: the loss is to be minimised
"""

import tinygen as tg


def discriminator_loss(r, f):
    return -tg.mean(tg.softplus(-r)) - tg.mean(tg.softplus(f))
