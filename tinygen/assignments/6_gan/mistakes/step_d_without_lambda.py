"""λ is forgotten.

score: 25
says: λ is missing
"""

import tinygen as tg


def discriminator_step(real, z, eps, theta, psi, optimizer):
    fake = G(z, *theta).detach()
    penalty = gradient_penalty(D, real, fake, eps, *psi)
    loss = tg.mean(D(fake, *psi)) - tg.mean(D(real, *psi)) + penalty
    optimizer.step(tg.grad(loss, psi))
    return loss.item()
