"""The gradient of a sum is divided by the length of the axes.

score: 20.5
says: as for a mean
"""

import numpy as np


def total(x, axes):
    kept = np.sum(x.data, axis=axes, keepdims=True)

    def repeat(g, z):
        return reshape(g, kept.shape) * np.ones(x.shape) / (x.data.size / kept.size)

    return Tensor(np.squeeze(kept, axis=axes), [(x, repeat)])
