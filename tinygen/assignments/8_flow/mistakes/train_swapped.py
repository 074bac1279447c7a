"""The line is called with data and noise in the wrong order.

score: 25
says: z and x are swapped
"""


def training_loss(network, x, y, rng, drop=0.2):
    z, t = rng.normal(size=x.shape), rng.random((len(x), 1))
    x_t, u = line(x, z, t)
    return matching_loss(network(x_t, t, drop_labels(y, drop, rng)), u)
