"""The backward pass starts with ones in place of g.

score: 18.5
says: it is not g
"""

import numpy as np


def grad(y, xs, g):
    cotangents = {id(y): Tensor(np.ones(y.shape))}
    for z in reversed(ancestors(y)):
        for x, gx in pull_back(cotangents[id(z)], z):
            cotangents[id(x)] = cotangents[id(x)] + gx if id(x) in cotangents else gx
    return [cotangents.get(id(x), Tensor(np.zeros(x.shape))) for x in xs]
