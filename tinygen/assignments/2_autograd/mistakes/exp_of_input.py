"""The derivative of eˣ is taken for x.

score: 23.47
says: the factor x is not the derivative of eˣ
"""

import numpy as np


def exp(x):
    return Tensor(np.exp(x.data), [(x, lambda g, z: g * x)])
