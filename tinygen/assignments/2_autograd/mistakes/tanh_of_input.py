"""The derivative of tanh is 1 − x², with the input in place of the output.

score: 23.27
says: where the output belongs
"""

import numpy as np


def tanh(x):
    return Tensor(np.tanh(x.data), [(x, lambda g, z: g * (1 - x * x))])
