"""Visible tests: small shapes, fixed seeds."""

import numpy as np

from tinygen.assignments import check, gradient, require, value
from tinygen.autograd import cross_entropy


def loss(s, y):
    return cross_entropy(s, y).numpy()


def norm(x, gamma, beta):
    rows = [(row - row.mean()) / np.sqrt(row.var() + 1e-5) for row in x]
    return gamma * np.array(rows) + beta


def accuracy(params, x, y):
    w1, b1, gamma, beta, w2, b2 = params
    s = np.maximum(norm(x @ w1 + b1, gamma, beta), 0) @ w2 + b2
    return np.mean(s.argmax(axis=1) == y)


@check(1, "the dense layer's gradients at full size", points=1)
def large_dense(student, reference, rng):
    x, w, b = rng.normal(size=(256, 784)), rng.normal(size=(784, 100)), rng.normal(size=100)
    g, nudge = rng.normal(size=(256, 100)), rng.normal(size=(784, 100))
    _, gw, gb = student.dense_backward(g, x, w, b)
    value(np.sum(gw * nudge), np.sum(g * (x @ nudge)), "⟨w̄, a random direction⟩")
    value(gb, g.sum(axis=0), "b̄")


@check(1, "the dense layer's gradients", points=2)
def dense_gradients(student, reference, rng):
    x, w, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)
    gradient(student.dense_backward, reference.dense, x, w, b)


@check(2, "the cross-entropy of equal logits", points=1)
def uniform(student, reference, rng):
    n, k = 3, int(rng.integers(5, 12))
    found = student.cross_entropy(np.zeros((n, k)), rng.integers(0, k, n))
    value(found, np.log(k), f"log {k}", {"a sum over the batch, not a mean": n * np.log(k)})


@check(2, "the gradient of the cross-entropy at full size", points=1)
def large_cross_entropy(student, reference, rng):
    s, y = 3 * rng.normal(size=(8, 30_000)), rng.integers(0, 30_000, 8)
    gs, nudge = student.cross_entropy_backward(1.0, s, y), rng.normal(size=s.shape)
    measured = (loss(s + 1e-4 * nudge, y) - loss(s - 1e-4 * nudge, y)) / 2e-4
    value(np.sum(gs * nudge), measured, "⟨s̄, a random direction⟩", rtol=1e-5)


@check(2, "the gradient of the cross-entropy", points=1)
def cross_entropy_gradient(student, reference, rng):
    gradient(student.cross_entropy_backward, loss, rng.normal(size=(5, 4)), rng.integers(0, 4, 5))


@check(3, "a normalised row", points=1)
def normalised(student, reference, rng):
    x, gamma, beta = rng.normal(size=(3, 8)), rng.normal(size=8), rng.normal(size=8)
    value(student.layer_norm(x, gamma, beta), norm(x, gamma, beta), "layer norm")


@check(3, "the gradients of layer norm at full size", points=1)
def large_norm(student, reference, rng):
    x, gamma, beta = rng.normal(size=(4, 50_000)), rng.normal(size=50_000), rng.normal(size=50_000)
    g, nudge = rng.normal(size=x.shape), rng.normal(size=x.shape)
    gx, _, gb = student.layer_norm_backward(g, x, gamma, beta)
    ahead, behind = (norm(x + h * nudge, gamma, beta) for h in (1e-4, -1e-4))
    value(np.sum(gx * nudge), np.sum(g * (ahead - behind)) / 2e-4, "⟨x̄, a direction⟩", rtol=1e-5)
    value(gb, g.sum(axis=0), "β̄")


@check(3, "the gradients of layer norm", points=1)
def norm_gradients(student, reference, rng):
    x, gamma, beta = rng.normal(size=(3, 6)), rng.normal(size=6), rng.normal(size=6)
    gradient(student.layer_norm_backward, norm, x, gamma, beta)


@check(4, "the network tells the moons apart", points=1)
def learns(student, reference, rng):
    turn = rng.uniform(0, np.pi)
    found = min(
        accuracy(student.train(seed=0, turn=angle), *reference.moons(400, rng, angle))
        for angle in (turn, turn + np.pi)  # the classes have changed places
    )
    require(found > 0.97, f"after 300 steps, {found:.0%} of new points are told apart, not 97 %")
