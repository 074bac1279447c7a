"""The loss is turned round before the step.

score: 22.5
says: the step goes uphill
"""

import tinygen as tg


def discriminator_step(real, z, eps, theta, psi, optimizer):
    fake = G(z, *theta).detach()
    loss = tg.mean(D(fake, *psi)) - tg.mean(D(real, *psi))
    loss = loss + LAMBDA * gradient_penalty(D, real, fake, eps, *psi)
    optimizer.step(tg.grad(-loss, psi))
    return loss.item()
