"""The vjp of exp computes with an array: right, but it can't be differentiated.

score: 25
says: a vjp computes with arrays, not with Tensors
"""

import numpy as np


def exp(x):
    return Tensor(np.exp(x.data), [(x, lambda g, z: Tensor(g.data * z.data))])
