"""z̄ is repeated without the summed axis, so along the wrong one.

score: 26.5
says: z̄ is repeated along the wrong axis
"""

import numpy as np


def total(x, axes):
    return Tensor(np.sum(x.data, axis=axes), [(x, lambda g, z: g * np.ones(x.shape))])
