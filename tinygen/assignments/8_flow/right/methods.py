"""One solver for both methods, and matrices of distances."""

import numpy as np


class Solver:
    def __init__(self, calls_per_step, step):
        self.calls_per_step, self.step = calls_per_step, step

    def __call__(self, velocity, z, n):
        for i in range(n):
            z = z + self.step(velocity, z, np.full((len(z), 1), i / n), 1 / n)
        return z


def euler_step(velocity, x, t, h):
    return h * velocity(x, t)


def heun_step(velocity, x, t, h):
    first = euler_step(velocity, x, t, h)
    return (first + euler_step(velocity, x + first, t + h, h)) / 2


def euler(velocity, z, n):
    return Solver(1, euler_step)(velocity, z, n)


def heun(velocity, z, n):
    return Solver(2, heun_step)(velocity, z, n)


def distances(a, b):
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0))


def energy_distance(a, b):
    def within(a):
        return distances(a, a)[np.triu_indices(len(a), 1)].mean()

    return 2 * distances(a, b).mean() - within(a) - within(b)


def compare(velocity, z, exact, calls):
    table = np.zeros((len(calls), 2))
    for row, budget in enumerate(calls):
        for column, method in enumerate((Solver(1, euler_step), Solver(2, heun_step))):
            x = method(velocity, z, budget // method.calls_per_step)
            table[row, column] = np.linalg.norm(x - exact) / np.sqrt(len(z))
    return table


def order(calls, errors):
    columns = np.stack([np.ones(len(calls)), np.log(np.asarray(calls))], axis=1)
    return -np.linalg.lstsq(columns, np.log(errors), rcond=None)[0][1]
