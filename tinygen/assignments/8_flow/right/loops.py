"""Loops over pairs, and NumPy's generator used differently."""

from itertools import pairwise

import numpy as np


def line(z, x, t):
    velocity = x - z
    return z + t * velocity, velocity


def matching_loss(v, u):
    difference = v - u
    return (difference * difference).mean()


def euler(velocity, z, n):
    for i in range(n):
        z = z + velocity(z, i / n * np.ones((len(z), 1))) / n
    return z


def heun(velocity, z, n):
    times = np.linspace(0, 1, n + 1)
    for start, end in pairwise(times):
        column = np.ones((len(z), 1))
        k1 = velocity(z, start * column)
        guess = z + (end - start) * k1
        z = z + 0.5 * (end - start) * k1 + 0.5 * (end - start) * velocity(guess, end * column)
    return z


def drop_labels(y, probability, rng):
    kept = y.copy()
    for i in range(len(y)):
        if rng.uniform() < probability:
            kept[i] = ANY
    return kept


def guided(velocity, x, t, y, w):
    return w * velocity(x, t, y) + (1 - w) * velocity(x, t, 0 * y + ANY)


def energy_distance(a, b):
    def pairs(a):
        return [np.linalg.norm(a[i + 1 :] - a[i], axis=1) for i in range(len(a) - 1)]

    between = np.mean([np.linalg.norm(b - row, axis=1).mean() for row in a])
    return 2 * between - np.concatenate(pairs(a)).mean() - np.concatenate(pairs(b)).mean()


def order(calls, errors):
    u, v = np.log(calls), np.log(errors)
    return -np.mean((u - u.mean()) * (v - v.mean())) / np.mean((u - u.mean()) ** 2)
