"""The gradient of the logarithm is passed on unchanged.

score: 24.47
says: where is the derivative?
"""

import numpy as np


def log(x):
    return Tensor(np.log(x.data), [(x, lambda g, z: g)])
