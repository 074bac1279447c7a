"""The ratio of the densities.

score: 24
says: not a probability
"""


def optimal_discriminator(p, q):
    return p / q
