"""The generator lowers its scores.

score: 22
says: the generator raises its scores
"""

import tinygen as tg


def generator_step(z, theta, psi, optimizer):
    loss = tg.mean(D(G(z, *theta), *psi))
    optimizer.step(tg.grad(loss, theta))
    return loss.item()
