"""The non-saturating loss against a Wasserstein discriminator.

score: 25
says: this is the non-saturating loss
"""

import tinygen as tg


def generator_step(z, theta, psi, optimizer):
    loss = generator_loss(D(G(z, *theta), *psi))
    optimizer.step(tg.grad(loss, theta))
    return loss.item()
