"""The times are 0 … T − 1, as indices into β are.

score: 28
says: t = 0 occurs
says: the times are from 0 to
"""


def minibatch(x, n, T, rng):
    x_0 = x[rng.integers(0, len(x), n)]
    return x_0, rng.integers(0, T, n), rng.standard_normal(x_0.shape)
