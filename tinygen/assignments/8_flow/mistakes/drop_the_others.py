"""Labels are kept with the probability of dropping.

score: 26.5
says: `probability` is that of ANY, not that of keeping
"""

import numpy as np


def drop_labels(y, probability, rng):
    return np.where(rng.random(len(y)) < probability, y, ANY)
