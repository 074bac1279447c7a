"""Half of the mean.

score: 25
says: a factor ½ too much
says: half of the mean
"""

import tinygen as tg


def matching_loss(v, u):
    return 0.5 * tg.mean((v - u) ** 2)
