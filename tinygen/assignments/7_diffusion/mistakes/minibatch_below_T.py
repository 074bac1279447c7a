"""`integers` leaves out its upper end: t = T never occurs.

score: 29
says: t = T never occurs
"""


def minibatch(x, n, T, rng):
    x_0 = x[rng.integers(0, len(x), n)]
    return x_0, rng.integers(1, T, n), rng.standard_normal(x_0.shape)
