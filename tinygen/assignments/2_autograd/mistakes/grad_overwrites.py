"""A second cotangent replaces the first.

score: 16.17
says: one of its uses is lost: cotangents add up
"""

import numpy as np


def grad(y, xs, g):
    cotangents = {id(y): g}
    for z in reversed(ancestors(y)):
        for x, gx in pull_back(cotangents[id(z)], z):
            cotangents[id(x)] = gx
    return [cotangents.get(id(x), Tensor(np.zeros(x.shape))) for x in xs]
