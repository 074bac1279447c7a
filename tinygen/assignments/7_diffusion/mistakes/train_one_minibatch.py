"""The minibatch is sampled once, before the loop: the network memorises it.

score: 27
says: squared error of ε̂ is
"""

import tinygen as tg
from tinygen import optim


def train(network, x, alpha_bar, steps, rng, n=256):
    adam = optim.Adam(network.parameters(), optim.cosine(1e-2, steps))
    batch, losses = minibatch(x, n, len(alpha_bar) - 1, rng), []
    for _ in range(steps):
        value = loss(network, *batch, alpha_bar)
        adam.step(tg.grad(value, adam.params))
        losses.append(value.item())
    return losses
