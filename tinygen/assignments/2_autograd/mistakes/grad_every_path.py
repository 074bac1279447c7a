"""Each path is followed by itself: right, but exponential, and recursive.

score: 24.33
says: is each path followed anew?
says: a vjp was called 2 times; expected once each
"""

import numpy as np


def grad(y, xs, g):
    totals = {}

    def follow(z, g):
        totals[id(z)] = totals[id(z)] + g if id(z) in totals else g
        for x, gx in pull_back(g, z):
            follow(x, gx)

    follow(y, g)
    return [totals.get(id(x), Tensor(np.zeros(x.shape))) for x in xs]
