"""The generated points are detached in the generator's step.

score: 22
says: the generator's step should move all of its weights
"""

import tinygen as tg


def generator_step(z, theta, psi, optimizer):
    fake = G(z, *theta).detach()
    loss = -tg.mean(D(fake, *psi))
    optimizer.step(tg.grad(loss, theta, allow_unreachable=True))
    return loss.item()
