"""Only the last loss is returned.

score: 29.33
says: expected a list of 500 losses
"""

import tinygen as tg
from tinygen import optim


def train(network, x, alpha_bar, steps, rng, n=256):
    adam = optim.Adam(network.parameters(), optim.cosine(1e-2, steps))
    for _ in range(steps):
        value = loss(network, *minibatch(x, n, len(alpha_bar) - 1, rng), alpha_bar)
        adam.step(tg.grad(value, adam.params))
    return value.item()
