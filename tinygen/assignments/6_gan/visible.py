"""Visible tests: small shapes, fixed seeds."""

import numpy as np

import tinygen as tg
from tinygen import gan
from tinygen.assignments import check, gradient, require, value

MINIMAX, OTHER = gan.Minimax(), gan.NonSaturating()


def derivatives(g, loss, *arrays):
    """of one of tinygen's losses, times g"""
    inputs = [tg.Tensor(a, requires_grad=True) for a in arrays]
    return [g * a.numpy() for a in tg.grad(loss(*inputs), inputs)]


@check(1, "the gradients at full size", points=1)
def large(student, reference, rng):
    r, f, g = 3 * rng.normal(size=20_000), 3 * rng.normal(size=30_000), 1e4 * rng.uniform(1, 2)
    found = student.discriminator_backward(g, r, f)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        return require(False, "discriminator_backward: expected two arrays, r̄ and f̄")
    found = [*found, student.minimax_backward(g, f), student.generator_backward(g, f)]
    expected = derivatives(g, MINIMAX.discriminator, r, f)
    expected += derivatives(g, MINIMAX.generator, f) + derivatives(g, OTHER.generator, f)
    swapped = derivatives(g, MINIMAX.discriminator, f, r)[::-1]
    special = [
        {"real and generated are swapped": swapped[0]},
        {"real and generated are swapped": swapped[1]},
        {"this is the gradient of the non-saturating loss": expected[3]},
        {"this is the gradient of the minimax loss": expected[2]},
    ]
    names = (
        "r̄ of the discriminator",
        "f̄ of the discriminator",
        "f̄ of minimax",
        "f̄ of non-saturating",
    )
    for name, a, b, mistakes in zip(names, found, expected, special):
        mistakes |= {
            "g is not used": b / g,
            "its sign is wrong": -b,
            "the mean's 1/N is missing": b * len(b),
            "divided by N + M, but each mean has its own length": b * len(b) / 50_000,
        }
        value(a, b, name, mistakes, rtol=1e-10, atol=1e-11)


@check(1, "the losses of a few scores", points=2)
def some_losses(student, reference, rng):
    r, f = rng.normal(size=3), rng.normal(size=5)

    def mistakes(expected, special):
        sentences = {"a sum over the batch, not a mean": 5 * expected} | special
        return sentences | {"the sign is wrong: the loss is to be minimised": -expected}

    loss = MINIMAX.discriminator(r, f).item()
    swapped = MINIMAX.discriminator(f, r).item()
    real, fake = OTHER.generator(r).item(), -MINIMAX.generator(f).item()
    special = {
        "real and generated are swapped": swapped,
        "the two means are averaged, not added": loss / 2,
        "one mean over all N + M scores; expected one of each": (3 * real + 5 * fake) / 8,
        "a sum over the batch, not a mean": 3 * real + 5 * fake,
    }
    value(student.tensors.discriminator_loss(r, f), loss, "discriminator", mistakes(loss, special))
    losses = MINIMAX.generator(f).item(), OTHER.generator(f).item()
    special = {
        "this is −E[log(1 − σ(f))]: the generator minimises log(1 − σ(f))": -losses[0],
        "this is the non-saturating loss": losses[1],
        "this is −E[log σ(f)] with its sign flipped": -losses[1],
    }
    value(student.tensors.minimax_loss(f), losses[0], "minimax", mistakes(losses[0], special))
    special = {
        "this is the minimax loss": losses[0],
        "this is −E[log(1 − σ(f))]: D's own term, which the generator should raise": -losses[0],
    }
    value(
        student.tensors.generator_loss(f), losses[1], "non-saturating", mistakes(losses[1], special)
    )


@check(2, "the optimal discriminator", points=1)
def optimal(student, reference, rng):
    p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    mistakes = {
        "p and q are swapped": 1 / (1 + p / q),
        "this is p/q, not a probability": p / q,
        "this is the score log p/q: expected a probability": np.log(p / q),
    }
    value(student.optimal_discriminator(p, q), 1 / (1 + q / p), "a", mistakes)


@check(2, "the loss of the optimal discriminator", points=1)
def smallest_loss(student, reference, rng):
    p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    a = np.linspace(0, 1, 100_001)[1:-1]  # all that are possible, for each k
    expected = sum(np.min(-x * np.log(a) - y * np.log(1 - a)) for x, y in zip(p, q))
    js = np.log(2) - expected / 2
    mistakes = {
        "this is V, the negative of the loss": -expected,
        "JS lacks its ½": np.log(4) - 4 * js,
        "JS, not 2 JS, is subtracted": np.log(4) - js,
        "this is JS(p, q), not the loss": js,
        "logarithms to the base 2": expected / np.log(2),
        "log 2 in place of log 4": np.log(2) - 2 * js,
        "the two terms are averaged, not added": expected / 2,
    }
    value(student.optimal_loss(p, q), expected, "the loss", mistakes, rtol=1e-6)


def penalty(x, w1, b1, w2):
    """of reference.two_layers, at points x"""
    h = np.tanh(x @ w1 + b1)
    v = np.stack([w1 @ (w2[:, 0] * (1 - row * row)) for row in h])
    return np.mean([(np.linalg.norm(row) - 1) ** 2 for row in v])


@check(3, "points between real and generated", points=1)
def points_between(student, reference, rng):
    real, fake, eps = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.uniform(size=(5, 1))
    mistakes = {
        "ε and 1 − ε are swapped": np.stack(
            [(1 - e) * x + e * y for e, x, y in zip(eps, real, fake)]
        ),
        "one ε for the whole batch": eps[0] * real + (1 - eps[0]) * fake,
        "one ε for the whole batch, their mean": eps.mean() * real + (1 - eps.mean()) * fake,
        "the real points": real,
        "the points halfway": (real + fake) / 2,
    }
    expected = np.stack([e * x + (1 - e) * y for e, x, y in zip(eps, real, fake)])
    value(student.tensors.between(real, fake, eps), expected, "x̂", mistakes)


@check(3, "the penalty of a linear discriminator", points=1)
def linear_penalty(student, reference, rng):
    real, fake, eps = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.uniform(size=(5, 1))
    w = 2 * rng.normal(size=(3, 1))  # ∇D = w everywhere
    n = np.linalg.norm(w)
    expected = (n - 1) ** 2
    mistakes = {
        "the norm is that of the whole batch, not of each row": (n * np.sqrt(5) - 1) ** 2,
        "the norms are of columns, not of rows": np.mean((abs(w) * np.sqrt(5) - 1) ** 2),
        "(‖v‖² − 1)², not (‖v‖ − 1)²": (n * n - 1) ** 2,
        "E[‖v‖²]: a penalty whose target is 0": n * n,
        "E[‖v‖² − 1]: square after subtracting 1": n * n - 1,
        "E[‖v‖ − 1]: the square is missing": n - 1,
        "a sum over the batch, not a mean": 5 * expected,
        "the gradient is that of the mean of the scores: N times too small": (n / 5 - 1) ** 2,
        "the norm is a mean over the columns, not a sum": (n / np.sqrt(3) - 1) ** 2,
        "λ belongs to the discriminator's loss": reference.LAMBDA * expected,
    }
    found = student.tensors.gradient_penalty(reference.linear, real, fake, eps, w)
    value(found, expected, "the penalty of D(x) = x w", mistakes, rtol=1e-5)


@check(3, "the penalty's gradients with respect to the weights", points=1)
def penalty_gradients(student, reference, rng):
    x, eps = rng.normal(size=(4, 2)), rng.uniform(size=(4, 1))  # x̂ = x for real = fake = x
    w1, b1, w2 = rng.normal(size=(2, 6)), rng.normal(size=6), rng.normal(size=(6, 1))

    def gradient_penalty(w1, b1, w2):
        return penalty(x, w1, b1, w2)

    def of_student(g, *weights):
        inputs = g, reference.two_layers, x, x, eps, *weights
        return student.gradients.gradient_penalty(*inputs)[3:]

    if not any(np.any(a) for a in of_student(np.array(1.0), w1, b1, w2)):
        return require(False, "the penalty has no gradient: is create_graph=True missing?")
    gradient(of_student, gradient_penalty, w1, b1, w2, name="gradient_penalty", rtol=1e-5)


def a_step(reference, rng, n=8):
    """real, z, eps, theta, psi"""
    inputs = reference.moons(n, rng), rng.normal(size=(n, 2)), rng.uniform(size=(n, 1))
    return *inputs, *reference.start(rng)


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


@check(4, "the weights that a step moves", points=1)
def movement(student, reference, rng):
    inputs = a_step(reference, rng)
    before = {"generator": inputs[3], "discriminator": inputs[4]}
    for which, other in (("discriminator", "generator"), ("generator", "discriminator")):
        _, *after = student.tensors.one_step(which, *inputs, 0.001)
        after = dict(zip(before, after))
        if not all(moved(before[which], after[which])):
            require(False, f"the {which}'s step should move all of its weights")
        else:
            still = not any(moved(before[other], after[other]))
            require(still, f"the {which}'s step moves the {other}'s weights")


def energy_distance(a, b):
    """2 E‖a − b‖ − E‖a − a′‖ − E‖b − b′‖"""

    def mean(x, y):
        return np.sqrt(np.square(x[:, None] - y).sum(axis=2)).mean()

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


MOST = 0.08  # of the energy distance, which is about 0.9 at the start


def judge(reference, trained, rng):
    points, real = trained["points"][-1], reference.moons(500, rng)
    x = tg.Tensor(np.concatenate([real, points]), requires_grad=True)
    g = tg.grad(tg.sum(reference.D(x, *trained["psi"])), x).numpy()
    norm, found = np.linalg.norm(g, axis=1).mean(), energy_distance(points, real)
    if not norm < 5:
        return require(
            False, f"‖∇D‖ is {norm:.3g} on average, not near 1: the penalty does not work"
        )
    hint = "" if found < 0.5 else ". Does each step lower its own loss?"
    require(
        found < MOST, f"their energy distance to real ones is {found:.3g}, not below {MOST}{hint}"
    )


@check(4, "the generated points after training", points=2)
def learns(student, reference, rng):
    judge(reference, student.tensors.train(seed=0), rng)
