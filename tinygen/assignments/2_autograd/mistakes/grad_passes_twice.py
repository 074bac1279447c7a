"""A node is visited once for each use, and passes on its whole sum each time.

score: 18.67
says: passes a part of its cotangent on twice
"""

import numpy as np


def grad(y, xs, g):
    totals, waiting = {id(y): g}, [y]
    while waiting:
        z = waiting.pop(0)
        for x, gx in pull_back(totals[id(z)], z):
            totals[id(x)] = totals[id(x)] + gx if id(x) in totals else gx
            waiting.append(x)
    return [totals.get(id(x), Tensor(np.zeros(x.shape))) for x in xs]
