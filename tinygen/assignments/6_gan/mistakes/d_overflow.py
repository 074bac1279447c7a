"""The log of a sigmoid.

score: 25.33
says: Use softplus
"""

import tinygen as tg


def discriminator_loss(r, f):
    return -tg.mean(tg.log(tg.sigmoid(r))) - tg.mean(tg.log(1 - tg.sigmoid(f)))
