"""Stable logs of σ, JS by its definition, the root with `where`."""

import numpy as np

import tinygen as tg


def log_sigmoid(s):
    return tg.minimum(s, 0.0) - tg.log(1 + tg.exp(-tg.abs(s)))


def discriminator_loss(r, f):
    return -(tg.sum(log_sigmoid(r)) / len(r) + tg.sum(log_sigmoid(-f)) / len(f))


def minimax_loss(f):
    return log_sigmoid(-f).mean()


def generator_loss(f):
    return -log_sigmoid(f).mean()


def discriminator_backward(g, r, f):
    return minimax_like(g, r) - g / len(r), minimax_like(g, f)


def minimax_like(g, s):
    return g * tg.sigmoid(s).numpy() / len(s)


def minimax_backward(g, f):
    return -minimax_like(g, f)


def optimal_discriminator(p, q):
    ratio = np.divide(q, p, out=np.full(len(p), np.inf), where=p > 0)
    return 1 / (1 + ratio)


def optimal_loss(p, q):
    m = 0.5 * (p + q)

    def kl(a):
        return sum(x * np.log(x / y) for x, y in zip(a, m) if x > 0)

    return 2 * np.log(2) - kl(p) - kl(q)


def gradient_penalty(D, real, fake, eps, *weights):
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    scores = D(x, *weights)
    v = tg.grad(scores, x, create_graph=True, cotangent=tg.Tensor(np.ones(scores.shape)))
    square = tg.sum(v**2, axis=1)
    flat = square.numpy() == 0
    norm = tg.where(flat, 0.0, tg.sqrt(tg.where(flat, 1.0, square)))
    return tg.mean(norm**2 - 2 * norm + 1)
