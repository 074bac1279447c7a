"""A generator and a discriminator with one parameter each, and all losses."""

import numpy as np

import tinygen as tg
from tinygen import nn
from tinygen.gan import LOSSES, LeastSquares, Minimax, NonSaturating

EVERY = [make() for make in LOSSES.values()] + [Minimax(0.9), NonSaturating(0.8), LeastSquares(0.7)]


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **more):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), **more)


def host(x):
    return tg.to_numpy(x.data)


class Point(nn.Module):
    """A generator whose samples are all the same point."""

    def __init__(self, *at):
        self.at = tensor(at, requires_grad=True)

    def forward(self, z):
        return tg.broadcast_to(self.at, (len(z), len(self.at)))


class Slope(nn.Module):
    """D(x) = ψ x + c"""

    def __init__(self, psi, c=0.0):
        self.psi, self.c = tensor([psi], requires_grad=True), c

    def forward(self, x):
        return x * self.psi + self.c
