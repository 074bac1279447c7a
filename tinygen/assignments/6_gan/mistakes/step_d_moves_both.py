"""The discriminator's step moves the generator too.

score: 25.17
says: the discriminator's step moves the generator's weights
"""

import tinygen as tg


def discriminator_step(real, z, eps, theta, psi, optimizer):
    fake = G(z, *theta)
    loss = tg.mean(D(fake, *psi)) - tg.mean(D(real, *psi))
    loss = loss + LAMBDA * gradient_penalty(D, real, fake, eps, *psi)
    grads = tg.grad(loss, [*psi, *theta])
    optimizer.step(grads[: len(psi)])
    for w, g in zip(theta, grads[len(psi) :]):
        w.data = w.data + 0.005 * g.data
    return loss.item()
