"""One time for the whole batch.

score: 29
says: does each row have a t of its own?
"""

import numpy as np


def training_loss(network, x, y, rng, drop=0.2):
    z, t = rng.normal(size=x.shape), np.full((len(x), 1), rng.random())
    x_t, u = line(z, x, t)
    return matching_loss(network(x_t, t, drop_labels(y, drop, rng)), u)
