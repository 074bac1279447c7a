"""The same, with the error that the engine raises.

score: 21
says: does not depend on
"""

import tinygen as tg


def generator_step(z, theta, psi, optimizer):
    fake = G(z, *theta).detach()
    loss = -tg.mean(D(fake, *psi))
    optimizer.step(tg.grad(loss, theta))
    return loss.item()
