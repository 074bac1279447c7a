"""No penalty.

score: 22
says: the penalty is missing
"""

import tinygen as tg


def discriminator_step(real, z, eps, theta, psi, optimizer):
    loss = tg.mean(D(G(z, *theta).detach(), *psi)) - tg.mean(D(real, *psi))
    optimizer.step(tg.grad(loss, psi))
    return loss.item()
