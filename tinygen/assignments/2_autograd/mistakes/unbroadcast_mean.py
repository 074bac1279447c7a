"""What broadcasting has repeated is averaged, not summed.

score: 19.5
says: a mean, not a sum
"""

import numpy as np


def unbroadcast(g, shape):
    extra = len(g.shape) - len(shape)
    axes = [k for k, n in enumerate(g.shape) if k < extra or n != shape[k - extra]]
    count = np.prod([g.shape[k] for k in axes])
    return reshape(total(g, tuple(axes)), shape) / count
