"""The penalty row by row, points column by column."""

import numpy as np

import tinygen as tg


def discriminator_backward(g, r, f):
    r_bar, f_bar = np.zeros(len(r)), np.zeros(len(f))
    r_bar[:] = g * (sigmoid(r) - 1) / r.size
    f_bar[:] = g * sigmoid(f) / f.size
    return [r_bar, f_bar]


def generator_backward(g, f):
    return g * (sigmoid(f) - 1) / f.size


def between(real, fake, eps):
    columns = [fake[:, c] + eps[:, 0] * (real[:, c] - fake[:, c]) for c in range(real.shape[1])]
    return tg.stack(columns, axis=1)


def gradient_penalty(D, real, fake, eps, *weights):
    total = 0
    points = between(real, fake, eps).numpy()
    for n in range(len(points)):
        x = tg.Tensor(points[n : n + 1], requires_grad=True)
        (v,) = tg.grad(D(x, *weights).sum(), [x], create_graph=True)
        total = total + (tg.sqrt((v * v).sum() + 1e-12) - 1) ** 2
    return total / len(points)


def discriminator_step(real, z, eps, theta, psi, optimizer):
    fake = tg.Tensor(G(z, *theta).numpy())
    n = len(real)
    points = tg.concat([real, fake])
    scores = D(points, *psi)
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *psi)), x, create_graph=True)
    penalty = tg.mean((tg.sqrt(tg.sum(v * v, axis=1) + 1e-12) - 1) ** 2)
    loss = scores[n:].mean() - scores[:n].mean() + LAMBDA * penalty
    optimizer.step(tg.grad(loss, psi))
    return loss.item()
