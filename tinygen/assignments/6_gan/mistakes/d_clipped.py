"""A small number in the log.

score: 25.33
says: scores or probabilities are clipped
"""

import tinygen as tg


def discriminator_loss(r, f):
    real, fake = tg.sigmoid(r), tg.sigmoid(f)
    return -tg.mean(tg.log(real + 1e-12)) - tg.mean(tg.log(1 - fake + 1e-12))
