"""No label is dropped.

score: 27.83
says: labels are not dropped
"""


def training_loss(network, x, y, rng, drop=0.2):
    z, t = rng.normal(size=x.shape), rng.random((len(x), 1))
    x_t, u = line(z, x, t)
    return matching_loss(network(x_t, t, y), u)
