"""The generator minimises what the discriminator minimises.

score: 23.66
says: D's own term, which the generator should raise
"""

import tinygen as tg


def generator_loss(f):
    return tg.mean(tg.softplus(f))


def generator_backward(g, f):
    return g * sigmoid(f) / len(f)
