"""The whole loss in Tensors, with labels dropped by a binomial draw."""

import numpy as np

import tinygen as tg


def line(z, x, t):
    return x + (1 - t) * (z - x), x - z


def matching_loss(v, u):
    v, u = tg.as_tensor(v), tg.as_tensor(u)
    return tg.sum((u - v) * (u - v)) / (u.shape[0] * u.shape[1])


def drop_labels(y, probability, rng):
    dropped = rng.binomial(1, probability, size=y.shape)
    return y * (1 - dropped) + ANY * dropped


def guided(velocity, x, t, y, w):
    with_class, without = velocity(x, t, y), velocity(x, t, np.full_like(y, ANY))
    return without + w * with_class - w * without


def training_loss(network, x, y, rng, drop=0.2):
    labels = drop_labels(y, drop, rng)
    t = rng.uniform(size=len(x))[:, None]
    z = rng.standard_normal(x.shape)
    v = network(t * x + z - t * z, t, labels)
    return matching_loss(v, tg.Tensor(x) - tg.Tensor(z))


def compare(velocity, z, exact, calls):
    def errors(method, steps):
        squares = [np.sum((method(velocity, z, n) - exact) ** 2) / len(z) for n in steps]
        return np.array(squares) ** 0.5

    calls = np.array(calls)
    return np.column_stack([errors(euler, calls), errors(heun, calls // 2)])
