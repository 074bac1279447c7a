"""Functions with names in place of lambdas; a tensor's derivatives are computed anew."""

import numpy as np


def subtract(x, y):
    z = add(x, negative(y))

    def to_x(g, _):
        return g

    def to_y(g, _):
        return negative(g)

    return Tensor(z.data, [(x, to_x), (y, to_y)])


def multiply(x, y):
    def to_x(g, _):
        return multiply(y, g)

    def to_y(g, _):
        return multiply(x, g)

    return Tensor(np.multiply(x.data, y.data), [(x, to_x), (y, to_y)])


def exp(x):
    def to_x(g, _):
        return multiply(exp(x), g)

    return Tensor(np.exp(x.data), [(x, to_x)])


def tanh(x):
    def to_x(g, _):
        return g * 4 / ((exp(x) + exp(-x)) * (exp(x) + exp(-x)))

    def safe(g, z):
        return to_x(g, z) if np.all(abs(x.data) < 300) else g - g * z * z

    return Tensor(np.tanh(x.data), [(x, safe)])


def log(x):
    def to_x(g, z):
        return multiply(g, exp(-z))

    return Tensor(np.log(x.data), [(x, to_x)])


def unbroadcast(g, shape):
    padded = (1,) * (len(g.shape) - len(shape)) + tuple(shape)
    summed = tuple(k for k in range(len(padded)) if padded[k] == 1)
    return reshape(total(g, summed), shape)


def grad(y, xs, g):
    order = ancestors(y)
    place = {id(z): k for k, z in enumerate(order)}
    sums = [None] * len(order)
    sums[-1] = g
    for k in range(len(order) - 1, -1, -1):
        for x, gx in pull_back(sums[k], order[k]):
            j = place[id(x)]
            sums[j] = gx if sums[j] is None else sums[j] + gx
    zeros = [Tensor(np.zeros(x.shape)) for x in xs]
    return [sums[place[id(x)]] if id(x) in place else zero for x, zero in zip(xs, zeros)]
