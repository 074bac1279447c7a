"""The gradient is summed before it is differentiated, and v comes last.

score: 25
says: the rows are summed first, then multiplied by v
"""

import numpy as np


def hessian_product(y, x, v):
    slope = grad(y, [x], Tensor(1.0))[0]
    return grad(slope, [x], Tensor(np.ones(x.shape)))[0] * v
