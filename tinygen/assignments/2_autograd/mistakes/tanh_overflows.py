"""tanh is written as a quotient of exponentials, which overflow.

score: 27.8
says: the gradient of tanh at −800, 0 and 800
"""

import numpy as np


def tanh(x):
    up, down = np.exp(x.data), np.exp(-x.data)
    return Tensor((up - down) / (up + down), [(x, lambda g, z: g * (1 - z * z))])
