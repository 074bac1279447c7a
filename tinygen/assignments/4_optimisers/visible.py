"""Visible tests: fixed seeds."""

import numpy as np

import tinygen as tg
from tinygen import optim
from tinygen.assignments import check, value


def right_trace(optimiser, p, grads, **options):
    """The parameters after each step of an optimiser of tinygen's."""
    tensor = tg.Tensor(p.copy(), requires_grad=True)
    steps, path = optimiser([tensor], **options), []
    for g in grads:
        steps.step([tg.Tensor(g)])
        path.append(tensor.numpy().copy())
    return np.array(path)


@check(1, "momentum under a constant gradient", points=1)
def constant(student, reference, rng):
    g, b, mu, lr, n = rng.normal(size=5), np.zeros(5), 0.8, 0.1, int(rng.integers(10, 20))
    for _ in range(n):
        _, b = student.momentum_step(np.zeros(5), g, b, lr, mu=mu)
    right = g * (1 - mu**n) / (1 - mu)
    mistakes = {
        "g is multiplied by 1 − μ: b is a sum here, not an average": right * (1 - mu),
        "the learning rate belongs in the step, not in b": right * lr,
        "b forgets all earlier gradients": g,
        "b forgets nothing: where is μ?": n * g,
    }
    value(b, right, f"b after {n} steps", mistakes)


@check(1, "the path with momentum", points=1)
def momentum(student, reference, rng):
    p, grads = rng.normal(size=(2, 3)), rng.normal(size=(6, 2, 3))
    options = {"momentum": 0.7, "lr": 0.1}
    right = right_trace(optim.SGD, p, grads, **options)
    mistakes = {
        "the steps go uphill": 2 * p - right,
        "this is plain gradient descent": right_trace(optim.SGD, p, grads, lr=0.1),
        "this is Nesterov's momentum": right_trace(optim.SGD, p, grads, nesterov=True, **options),
        "the step uses b from before the update": np.concatenate([[p], right[:-1]]),
        "the gradient is multiplied by 1 − μ": p + 0.3 * (right - p),
    }
    found = student.trace("momentum", p, grads, lr=0.1, mu=0.7)
    value(found, right, "p after each step", mistakes)


@check(2, "RMSprop with a gradient that doubles", points=1)
def doubles(student, reference, rng):
    g, a = rng.uniform(1, 2, 4) * [0.1, -1, 1e3, -1e6], float(rng.uniform(0.9, 0.97))
    sign = np.sign(g)

    def distance(first, second):
        """After steps with g and 2 g, if v is first · g² and then second · g²"""
        return np.outer([1 / np.sqrt(first), 1 / np.sqrt(first) + 2 / np.sqrt(second)], -sign)

    b = 1 - a
    right, of_g = distance(b, b * (4 + a)), distance(b, b * (2 + a))
    mistakes = {
        "the steps go uphill": -right,
        "α and 1 − α are exchanged": distance(a, a * (4 + b)),
        "v is no average: the factor 1 − α is missing": distance(1, 4 + a),
        "v forgets nothing: where is α?": distance(b, 5 * b),
        "v forgets all earlier gradients": distance(b, 4 * b),
        "the root is missing": np.outer([1 / b, 1 / b + 2 / (b * (4 + a))], -1 / g),
        "v averages g, not g²": np.where(g > 0, of_g * np.sqrt(abs(g)), np.nan),
    }
    found = student.trace("rmsprop", np.zeros(4), np.outer([1, 2], g), lr=1.0, alpha=a)
    value(found, right, "p after steps of lr = 1 from 0", mistakes, rtol=1e-4)


@check(3, "Adam with a constant gradient that ends", points=2)
def adam_constant(student, reference, rng):
    n, beta1, beta2 = 10, 0.8, 0.9
    g = np.array([1e-2, -3, 5e3]) * rng.uniform(1, 2, 3)
    grads = np.outer([1] * n + [0], g)  # at the last step, g is 0
    t = np.arange(1, n + 2)
    c1, c2 = 1 - beta1**t, 1 - beta2**t
    m, v = c1 - (1 - beta1) * (t > n), c2 - (1 - beta2) * (t > n)  # m is m · g, v is v · g²

    def distance(m_hat, v_hat):
        with np.errstate(all="ignore"):
            return np.outer(np.cumsum(m_hat / np.sqrt(v_hat)), -np.sign(g))

    def kept(beta):
        """The average, if it is divided by its correction at each step, and then kept"""
        averages = [0.0]
        for k in t:
            averages.append((beta * averages[-1] + (1 - beta) * (k <= n)) / (1 - beta**k))
        return np.array(averages[1:])

    right = distance(m / c1, v / c2)
    mistakes = {
        "the steps go uphill": -right,
        "the bias correction is missing": distance(m, v),
        "m is not corrected": distance(m, v / c2),
        "v is not corrected": distance(m / c1, v),
        "t is not counted: each step is corrected like the first": distance(
            m / (1 - beta1), v / (1 - beta2)
        ),
        "t is one too large": distance(m / (1 - beta1 ** (t + 1)), v / (1 - beta2 ** (t + 1))),
        "not a number: is t = 0 at the first step?": right * np.nan,
        "β₁ and β₂ are exchanged": distance(
            (c2 - (1 - beta2) * (t > n)) / c2, (c1 - (1 - beta1) * (t > n)) / c1
        ),
        "β₁ and β₂ are exchanged in the bias correction": distance(m / c2, v / c1),
        "v averages g, not g²": np.where(g > 0, right * np.sqrt(abs(g)), np.nan),
        "the corrected averages are kept as the state: keep m and v": distance(
            kept(beta1), kept(beta2)
        ),
    }
    found = student.trace("adam", np.zeros(3), grads, lr=1.0, beta1=beta1, beta2=beta2)
    value(found, right, "p after steps of lr = 1 from 0", mistakes, rtol=1e-4)


@check(3, "the path of Adam", points=1)
def adam(student, reference, rng):
    p, grads = rng.normal(size=(2, 3)), rng.normal(size=(8, 2, 3))
    grads += np.sign(grads)  # none near 0, where ε would count
    b1, b2 = 0.7, 0.95
    right = right_trace(optim.Adam, p, grads, lr=0.1, betas=(b1, b2))
    swapped = right_trace(optim.Adam, p, grads, lr=0.1, betas=(b2, b1))
    found = student.trace("adam", p, grads, lr=0.1, beta1=b1, beta2=b2)
    value(
        found,
        right,
        "p after each step",
        {"β₁ and β₂ are exchanged": swapped},
        rtol=1e-5,
        atol=1e-5,
    )


@check(3, "weight decay without a gradient", points=1)
def decay(student, reference, rng):
    p, lr, n = rng.uniform(1, 2, 5), 0.1, np.arange(1, 6)[:, None]
    found = student.trace("adamw", p, np.zeros((5, 5)), lr=lr, decay=0.5)
    mistakes = {
        "the decay is not multiplied by lr": p * (1 - 0.5) ** n,
        "nothing decays": p + 0 * n,
        "the parameters grow": p * (1 + lr * 0.5) ** n,
        "the decay went into the averages: it is not decoupled": right_trace(
            optim.Adam, p, np.zeros((5, 5)), lr=lr, l2=0.5
        ),
    }
    value(found, p * (1 - lr * 0.5) ** n, "p after each step", mistakes)


@check(4, "gradients of a norm that is too large", points=2)
def too_large(student, reference, rng):
    size, ratio = rng.uniform(1, 2), rng.uniform(0.2, 0.28)
    a, b = size * np.array([[3.0, 0], [0, 4]]), size * np.array([12.0])  # of the norms 5 and 12
    full, c = 13 * size, 13 * size * ratio
    found, norm = student.clip([a, b], c)
    mistakes = {"the sum of the arrays' norms": 17 * size, "‖g‖², without the root": full**2}
    value(norm, full, "‖g‖", mistakes)
    mistakes = {
        "it is not clipped": [b, a],
        "each array is clipped by its own norm": [b * c / b, a * c / (5 * size)],
        "each element is clipped by itself": [np.minimum(b, c), np.minimum(a, c)],
        "it is scaled to the norm 1, not c": [b / full, a / full],
    }
    for k, (array, name) in enumerate(((b, "one element"), (a, "four elements"))):
        wrong = {sentence: arrays[k] for sentence, arrays in mistakes.items()}
        value(found[1 - k], array * ratio, f"the array of {name}, clipped", wrong)


@check(4, "gradients of a small norm", points=1)
def small(student, reference, rng):
    g = rng.normal(size=(3, 4))
    norm = np.linalg.norm(g)
    found, _ = student.clip([g], 2 * norm)
    value(found[0], g, "the gradient", {"it is scaled up to the norm c": 2 * g})


@check(5, "the schedule at chosen steps", points=2)
def points(student, reference, rng):
    late = "the warm-up is one step late: the first step has the rate 0"
    early = "the warm-up is divided by W, not by W + 1"
    wrong_end = "the cosine rises: it is at the wrong end"
    low = rng.uniform(0.1, 0.2)
    high = low + rng.uniform(0.5, 1)
    from_zero, rising = 1 + np.cos(9 / 14 * np.pi), 1 + np.cos(1.6 * np.pi)
    expected = {
        0: (high / 5, {late: 0.0, early: high / 4}),
        3: (high * 4 / 5, {late: high * 3 / 4, early: high}),
        4: (high, {late: high * 4 / 5, wrong_end: low}),
        9: (
            (low + high) / 2,
            {
                "the cosine counts t from 0, not from W": low + (high - low) / 2 * from_zero,
                "a whole period of the cosine, not half of it": low,
            },
        ),
        14: (low, {wrong_end: high, "the final rate is missing": 0.0}),
        20: (low, {"after T it stays at the final rate": low + (high - low) / 2 * rising}),
    }
    for t, (right, mistakes) in expected.items():
        found = student.rate(t, high, 4, 14, final=low)
        value(found, right, f"step {t} with W = 4 and T = 14", mistakes)
