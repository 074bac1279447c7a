"""Hidden tests: other shapes, extreme inputs, full size."""

import numpy as np

from tinygen.assignments import check, gradient, require, value

NAMES = "the loss before the step", "w1", "b1", "γ", "β", "w2", "b2"


def near(a, b):
    return np.allclose(a, b, rtol=1e-3, atol=1e-3)


@check(1, "the dense layer's gradients for any shape", points=2)
def dense_gradients(student, reference, rng):
    for _ in range(3):
        n, i, o = rng.integers(2, 8, 3)
        x, w, b = rng.normal(size=(n, i)), rng.normal(size=(i, o)), rng.normal(size=o)
        gradient(student.dense_backward, reference.dense, x, w, b)


@check(2, "the cross-entropy of any logits", points=1)
def values(student, reference, rng):
    s, y = 3 * rng.normal(size=(7, 5)), rng.integers(0, 5, 7)
    expected = reference.cross_entropy(s, y)
    mistakes = {
        "a sum over the batch, not a mean": 7 * expected,
        "a mean over all N·K logits": expected / 5,
        "the sign is wrong": -expected,
    }
    value(student.cross_entropy(s, y), expected, "cross-entropy", mistakes)


@check(2, "logits of ±1000", points=1)
def extreme(student, reference, rng):
    s = np.array([[1000.0, 0.0, -1000.0], [-1000.0, -1000.0, 1000.0]])
    found = student.cross_entropy(s, np.array([1, 2]))
    hint = "not finite: subtract the row's largest logit first"
    value(found, 500.0, "the loss of logits of ±1000", {hint: np.nan, f"{hint}. ": np.inf})
    found = student.cross_entropy_backward(1.0, s, np.array([1, 2]))
    value(found, [[0.5, -0.5, 0], [0, 0, 0]], "the gradient at logits of ±1000")


@check(2, "the gradient for any shape", points=2)
def cross_entropy_gradients(student, reference, rng):
    for _ in range(3):
        n, k = rng.integers(2, 8, 2)
        s, y = rng.normal(size=(n, k)), rng.integers(0, k, n)
        gradient(student.cross_entropy_backward, reference.cross_entropy, s, y)


@check(3, "layer norm of any row, ε included", points=2)
def norms(student, reference, rng):
    for scale in (1.0, 0.03, 1e-3):
        c = int(rng.integers(3, 9))
        x, gamma, beta = scale * rng.normal(size=(4, c)), rng.normal(size=c), rng.normal(size=c)
        deviation = x - x.mean(axis=1, keepdims=True)
        mistakes = {
            "the variance divides by C − 1": gamma
            * deviation
            / np.sqrt(x.var(axis=1, ddof=1, keepdims=True) + 1e-5)
            + beta,
            "ε is outside the root": gamma * deviation / (x.std(axis=1, keepdims=True) + 1e-5)
            + beta,
            "the statistics are those of columns": gamma
            * (x - x.mean(axis=0))
            / np.sqrt(x.var(axis=0) + 1e-5)
            + beta,
        }
        value(
            student.layer_norm(x, gamma, beta),
            reference.layer_norm(x, gamma, beta),
            "layer norm",
            mistakes,
        )


@check(3, "the gradients of layer norm for any shape", points=3)
def norm_gradients(student, reference, rng):
    for scale in (1.0, 0.01):
        n, c = rng.integers(2, 8, 2)
        x, gamma, beta = (
            scale * rng.normal(size=(n, c + 2)),
            rng.normal(size=c + 2),
            rng.normal(size=c + 2),
        )
        gradient(student.layer_norm_backward, reference.layer_norm, x, gamma, beta)


@check(4, "one step of the whole network", points=2)
def one_step(student, reference, rng):
    x, y = reference.moons(32, rng)
    params = reference.start(rng, hidden=5)
    found, new = student.descent_step(x, y, params, 10.0)
    loss, right = reference.descent_step(x, y, params, 10.0)
    pairs = list(zip(NAMES, [loss, *right], [found, *new], strict=True))
    wrong = [name for name, a, b in pairs if np.shape(a) != np.shape(b) or not near(a, b)]
    uphill = all(near(2 * p - a, b) for p, a, b in zip(params, right, new))
    sentence = f"after one step these are wrong: {', '.join(wrong)}"
    require(not wrong, "the step goes uphill" if uphill else sentence)


@check(4, "the network tells the moons apart, from other starts", points=1)
def learns(student, reference, rng):
    worst, first = 1.0, rng.uniform(0, np.pi)
    for turn, seed in zip((first, first + np.pi), rng.integers(0, 2**31, 2), strict=True):
        x, y = reference.moons(400, rng, turn)
        w1, b1, gamma, beta, w2, b2 = student.train(seed=int(seed), turn=turn)
        h = np.maximum(reference.layer_norm(reference.dense(x, w1, b1), gamma, beta), 0)
        worst = min(worst, np.mean(reference.dense(h, w2, b2).argmax(axis=1) == y))
    require(worst > 0.97, f"after 300 steps, {worst:.0%} of new points are told apart, not 97 %")
