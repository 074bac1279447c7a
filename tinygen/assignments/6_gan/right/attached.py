"""Nothing is detached, and gradients come by backward()."""

import tinygen as tg


def discriminator_loss(r, f):
    return tg.mean(tg.softplus(r) - r) + tg.mean(f + tg.softplus(-f))


def minimax_loss(f):
    return -(f + tg.softplus(-f)).mean()


def generator_loss(f):
    return (tg.softplus(f) - f).mean()


def between(real, fake, eps):
    return fake + eps * (real - fake)


def discriminator_step(real, z, eps, theta, psi, optimizer):
    fake = G(z, *theta)
    loss = (D(fake, *psi) - D(real, *psi)).mean()
    loss = loss + LAMBDA * gradient_penalty(D, real, fake, eps, *psi)
    optimizer.step(tg.grad(loss, psi))
    return loss.item()


def generator_step(z, theta, psi, optimizer):
    loss = -D(G(z, *theta), *psi).mean()
    loss.backward()
    for w in psi:
        w.grad = None
    optimizer.step()
    return loss.item()
