"""The noise is uniform.

score: 25
says: the noise z must be normal, not uniform
"""


def training_loss(network, x, y, rng, drop=0.2):
    z, t = rng.random(x.shape), rng.random((len(x), 1))
    x_t, u = line(z, x, t)
    return matching_loss(network(x_t, t, drop_labels(y, drop, rng)), u)
