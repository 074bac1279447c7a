"""A class for the backward pass, and sums axis by axis."""

import numpy as np


class Pass:
    def __init__(self, y, g):
        self.received = {id(y): [g]}
        for z in ancestors(y)[::-1]:
            for x, gx in pull_back(self.of(z), z):
                self.received.setdefault(id(x), []).append(gx)

    def of(self, x):
        parts = self.received.get(id(x), [Tensor(np.zeros(x.shape))])
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        self.received[id(x)] = [result]
        return result


def grad(y, xs, g):
    every = Pass(y, g)
    return [every.of(x) for x in xs]


def ancestors(y):
    order, states = [], {}
    stack = [y]
    while stack:
        z = stack[-1]
        if id(z) not in states:
            states[id(z)] = iter([x for x, _ in z.inputs])
        child = next(states[id(z)], None)
        if child is None:
            order.append(stack.pop())
        elif id(child) not in states:
            stack.append(child)
    return order


def total(x, axes):
    axes = {axis % len(x.shape) for axis in axes}
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    shape = tuple(n for k, n in enumerate(x.shape) if k not in axes)
    data = x.data
    for axis in axes:
        data = data.sum(axis=axis, keepdims=True)

    def to_x(g, z):
        return reshape(g, kept) + np.zeros(x.shape)

    return Tensor(data.reshape(shape), [(x, to_x)])


def unbroadcast(g, shape):
    while len(g.shape) > len(shape):
        g = total(g, (0,))
    for axis, n in enumerate(shape):
        if n == 1 and g.shape[axis] > 1:
            rest = (*g.shape[:axis], 1, *g.shape[axis + 1 :])
            g = reshape(total(g, (axis,)), rest)
    return g
