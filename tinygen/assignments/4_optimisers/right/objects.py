"""Classes that hold the state."""

import numpy as np


class Average:
    def __init__(self, value, decay, steps=0):
        self.value, self.decay, self.steps = value, decay, steps

    def add(self, x):
        value = self.decay * self.value + (1 - self.decay) * x
        return Average(value, self.decay, self.steps + 1)

    def corrected(self):
        return self.value / (1 - self.decay**self.steps)


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    squares = Average(v, alpha).add(np.square(g))
    return p - lr / (np.sqrt(squares.value) + eps) * g, squares.value


def adam_step(p, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, t = state
    first, second = Average(m, beta1, t).add(g), Average(v, beta2, t).add(np.square(g))
    rms = np.sqrt(second.corrected())
    return p - lr * first.corrected() / (rms + eps), [first.value, second.value, first.steps]


def clip(grads, c):
    squares = 0.0
    for g in grads:
        for x in np.ravel(g):
            squares += x * x
    norm = squares**0.5
    return tuple(g * (c / norm if norm > c else 1.0) for g in grads), norm
