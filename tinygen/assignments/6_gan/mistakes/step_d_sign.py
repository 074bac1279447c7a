"""The discriminator scores generated points higher.

score: 22
says: D should score real points higher
"""

import tinygen as tg


def discriminator_step(real, z, eps, theta, psi, optimizer):
    fake = G(z, *theta).detach()
    penalty = gradient_penalty(D, real, fake, eps, *psi)
    loss = tg.mean(D(real, *psi)) - tg.mean(D(fake, *psi)) + LAMBDA * penalty
    optimizer.step(tg.grad(loss, psi))
    return loss.item()
