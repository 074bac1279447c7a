"""The noise is uniform on [0, 1].

score: 26
says: not 0 and 1
"""


def minibatch(x, n, T, rng):
    x_0 = x[rng.integers(0, len(x), n)]
    return x_0, rng.integers(1, T + 1, n), rng.random(x_0.shape)
