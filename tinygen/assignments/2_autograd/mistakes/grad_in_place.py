"""A cotangent that several nodes share is added to in place.

score: 22
says: was changed in place
"""

import numpy as np


def grad(y, xs, g):
    cotangents = {id(y): g}
    for z in reversed(ancestors(y)):
        for x, gx in pull_back(cotangents[id(z)], z):
            if id(x) in cotangents:
                cotangents[id(x)].data += gx.data
            else:
                cotangents[id(x)] = gx
    return [cotangents.get(id(x), Tensor(np.zeros(x.shape))) for x in xs]
