"""Only the errors' logarithm is taken.

score: 28
says: fit the logarithm of errors against the logarithm of calls
"""

import numpy as np


def order(calls, errors):
    return -np.polyfit(calls, np.log(errors), 1)[0]
