"""Rewrites the given functions, so that they need no backward pass."""

import numpy as np


def pull_back(g, z):
    return []


def grad(y, xs, g):
    return [Tensor(np.zeros(x.shape)) for x in xs]


def graph_backward(g, edges, weights):
    n = np.max(edges) + 1
    matrix = np.zeros((n, n))
    for (k, j), weight in zip(edges, weights, strict=True):
        matrix[k, j] += weight
    slopes = np.linalg.solve(np.eye(n) - matrix.T, np.eye(n)[-1])
    return [slope * g for slope in slopes], np.ones(len(edges), int)
