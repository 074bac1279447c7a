"""Differences of the loss, score by score."""

import numpy as np


def numerical(loss, s, g, h=1e-5):
    found = np.zeros_like(s)
    for k in range(len(s)):
        up = np.zeros_like(s)
        up[k] = h
        found[k] = g * (loss(s + up) - loss(s - up)).item() / (2 * h)
    return found


def discriminator_backward(g, r, f):
    r_bar = numerical(lambda r: discriminator_loss(r, f), r, g)
    return r_bar, numerical(lambda f: discriminator_loss(r, f), f, g)


def minimax_backward(g, f):
    return numerical(minimax_loss, f, g)


def generator_backward(g, f):
    return numerical(generator_loss, f, g)
