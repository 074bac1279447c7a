"""Hidden tests: other shapes, extreme scores, closed forms."""

import numpy as np

import tinygen as tg
from tinygen import gan
from tinygen.assignments import check, gradient, require, value

MINIMAX, OTHER = gan.Minimax(), gan.NonSaturating()


@check(1, "the losses of scores of ±1000", points=2)
def extreme_losses(student, reference, rng):
    r, f = np.array([1000.0, -1000.0, 3.0]), np.array([1000.0, -1000.0, -1000.0, 2.0])
    a, b, c = (
        (1000 + np.log1p(np.exp(-3))) / 3,
        (1000 + np.log1p(np.exp(2))) / 4,
        (2000 + np.log1p(np.exp(-2))) / 4,
    )
    losses = {
        "discriminator_loss": (student.tensors.discriminator_loss(r, f), a + b),
        "minimax_loss": (student.tensors.minimax_loss(f), -b),
        "generator_loss": (student.tensors.generator_loss(f), c),
    }
    for name, (found, exact) in losses.items():
        if not np.isfinite(found).all():
            require(False, f"{name} is not finite: σ of a score rounds to 0 or 1. Use softplus")
        elif np.max(np.abs(found)) < abs(exact) / 10:
            require(False, f"{name} is cut off at {found:.4g}: scores or probabilities are clipped")
        else:
            value(found, exact, name)


@check(1, "the gradients at scores of ±1000", points=1)
def extreme_gradients(student, reference, rng):
    r, f = np.array([1000.0, -1000.0, 3.0]), np.array([1000.0, -1000.0, -1000.0, 2.0])
    hint = {"not finite: eˢ overflows. `sigmoid` is safe": np.nan}
    r_bar, f_bar = student.discriminator_backward(1.0, r, f)
    s, t = 1 / (1 + np.exp(3)), 1 / (1 + np.exp(-2))
    value(np.sum(r_bar), (-1 - s) / 3, "Σ r̄ of the discriminator", hint)
    value(np.sum(f_bar), (1 + t) / 4, "Σ f̄ of the discriminator", hint)
    value(np.sum(student.minimax_backward(1.0, f)), (-1 - t) / 4, "Σ f̄ of minimax", hint)
    value(np.sum(student.generator_backward(1.0, f)), (t - 3) / 4, "Σ f̄ of non-saturating", hint)


@check(1, "the gradients for any batch", points=2)
def gradients(student, reference, rng):
    def discriminator(r, f):
        return MINIMAX.discriminator(r, f).numpy()

    def minimax(f):
        return MINIMAX.generator(f).numpy()

    def generator(f):
        return OTHER.generator(f).numpy()

    for _ in range(2):
        n, m = rng.permutation(np.arange(3, 9))[:2]
        r, f = 2 * rng.normal(size=n), 2 * rng.normal(size=m)
        gradient(student.discriminator_backward, discriminator, r, f)
        gradient(student.minimax_backward, minimax, f)
        gradient(student.generator_backward, generator, f)


@check(2, "no discriminator has a smaller loss", points=1)
def smallest(student, reference, rng):
    p, q = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(8))
    a = np.asarray(student.optimal_discriminator(p, q))
    if a.shape != (8,) or not ((a > 0) & (a < 1)).all():
        return require(False, "optimal_discriminator: expected 8 probabilities between 0 and 1")

    def loss(a):
        return -np.sum(p * np.log(a) + q * np.log(1 - a), axis=-1)

    scores = np.log(a / (1 - a)) + 0.01 * rng.normal(size=(1000, 8))
    best = loss(1 / (1 + np.exp(-scores))).min()
    require(loss(a) < best, f"the loss of yours is {loss(a):.6f}, but {best:.6f} is possible")


@check(2, "the loss for any p and q, with zeros", points=1)
def any_loss(student, reference, rng):
    p, q = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7))
    p[2], q[5] = 0, 0
    p, q = p / p.sum(), q / q.sum()
    with np.errstate(all="ignore"):
        of_p, of_q = (np.nansum(x * np.log(2 * x / (p + q))) for x in (p, q))
    expected = np.log(4) - of_p - of_q
    mistakes = {
        "not a number: 0 log 0 is 0": np.nan,
        "not finite: 0 log 0 is 0": np.inf,
        "this is V, the negative of the loss": -expected,
        "JS is ½ KL + ½ KL, and counts twice: a ½ too much": np.log(4) - (of_p + of_q) / 2,
        "JS lacks its ½": np.log(4) - 2 * (of_p + of_q),
        "JS in place of the loss": (of_p + of_q) / 2,
        "m is p + q, without its ½": np.log(4) - (of_p + of_q) + 2 * np.log(2),
    }
    value(student.optimal_loss(p, q), expected, "the loss", mistakes)
    apart = student.optimal_loss(np.array([0.25, 0.75, 0, 0]), np.array([0, 0, 0.5, 0.5]))
    hint = {"not a number: 0 log 0 is 0": np.nan, "not finite: 0 log 0 is 0": np.inf}
    value(apart, 0.0, "the loss where p and q do not overlap", hint)


def norms(x, w1, b1, w2):
    """‖∇D‖ of reference.two_layers at each x"""
    h = np.tanh(x @ w1 + b1)
    return np.linalg.norm((w2[:, 0] * (1 - h * h)) @ w1.T, axis=1)


def problem(rng, n, c, hidden=7):
    """real, fake, eps, and the weights"""
    inputs = rng.normal(size=(n, c)), 2 + rng.normal(size=(n, c)), rng.uniform(0.1, 0.9, (n, 1))
    return (
        *inputs,
        rng.normal(size=(c, hidden)),
        rng.normal(size=hidden),
        rng.normal(size=(hidden, 1)),
    )


@check(3, "the penalty of any discriminator", points=2)
def any_penalty(student, reference, rng):
    for n, c in ((5, 3), (3, 4), (6, 2)):
        real, fake, eps, *weights = problem(rng, n, c)
        v = norms(eps * real + (1 - eps) * fake, *weights)
        mistakes = {
            "the norm is that of the whole batch, not of each row": (np.sqrt(np.sum(v * v)) - 1)
            ** 2,
            "a mean of the norms, then the square": (v.mean() - 1) ** 2,
            "(‖v‖² − 1)², not (‖v‖ − 1)²": np.mean((v * v - 1) ** 2),
            "a sum over the batch, not a mean": np.sum((v - 1) ** 2),
            "only norms above 1 are penalised": np.mean(np.maximum(v - 1, 0) ** 2),
            "the gradient is that of the mean of the scores: N times too small": np.mean(
                (v / n - 1) ** 2
            ),
            "the penalty is at the real points": np.mean((norms(real, *weights) - 1) ** 2),
            "the penalty is at the generated points": np.mean((norms(fake, *weights) - 1) ** 2),
            "one ε for the whole batch": np.mean(
                (norms(eps[0] * real + (1 - eps[0]) * fake, *weights) - 1) ** 2
            ),
            "ε and 1 − ε are swapped": np.mean(
                (norms((1 - eps) * real + eps * fake, *weights) - 1) ** 2
            ),
        }
        found = student.tensors.gradient_penalty(reference.two_layers, real, fake, eps, *weights)
        value(found, np.mean((v - 1) ** 2), "the penalty", mistakes, rtol=1e-5)


def check_gradients(student, reference, x, eps, weights):
    """at x̂ = x, by real = fake = x"""

    def gradient_penalty(w1, b1, w2):
        return np.mean((norms(x, w1, b1, w2) - 1) ** 2)

    def of_student(g, *weights):
        inputs = g, reference.two_layers, x, x, eps, *weights
        return student.gradients.gradient_penalty(*inputs)[3:]

    if any(np.any(a) for a in of_student(np.array(1.0), *weights)):
        gradient(of_student, gradient_penalty, *weights, name="gradient_penalty", rtol=1e-5)
    else:
        require(False, "the penalty has no gradient: is create_graph=True missing?")


@check(3, "the penalty's gradients for any shape", points=2)
def penalty_gradients(student, reference, rng):
    for n, c in ((5, 3), (4, 2)):
        x, _, eps, *weights = problem(rng, n, c, hidden=5)
        check_gradients(student, reference, x, eps, weights)


@check(3, "a discriminator without a gradient", points=1)
def flat(student, reference, rng):
    real, fake, eps, *weights = problem(rng, 4, 3)
    weights[2][:] = 0
    inputs = reference.two_layers, real, fake, eps, *weights
    found = student.tensors.gradient_penalty(*inputs)
    grads = student.gradients.gradient_penalty(np.array(1.0), *inputs)[3:]
    if not all(np.isfinite(a).all() for a in grads):
        return require(False, "where ∇D = 0, the gradient of ‖∇D‖ is 0/0: add 10⁻¹² under the root")
    value(found, 1.0, "the penalty where ∇D = 0", rtol=1e-4)


def a_step(reference, rng, n=8):
    """real, z, eps, theta, psi"""
    inputs = reference.moons(n, rng), rng.normal(size=(n, 2)), rng.uniform(size=(n, 1))
    return *inputs, *reference.start(rng)


def compare_step(found, which, reference, real, z, eps, theta, psi, lr, mistakes):
    """the loss and the weights after a step"""
    expected = reference.one_step(which, real, z, eps, theta, psi, lr)
    value(found[0], expected[0], f"the loss of the {which}'s step", mistakes, rtol=1e-4)
    k = 2 if which == "discriminator" else 1
    before, name = (theta, psi)[k - 1], ("θ", "ψ")[k - 1]
    if not all(map(np.array_equal, found[3 - k], (theta, psi)[2 - k])):
        require(False, f"the {which}'s step moves the weights of the other network")
    after, right = (np.concatenate([np.ravel(w) for w in ws]) for ws in (found[k], expected[k]))
    was = np.concatenate([np.ravel(w) for w in before])
    sentences = {"they did not move": was, "the step goes uphill": 2 * was - right}
    if which == "discriminator":
        alone = [tg.Tensor(w, requires_grad=True) for w in psi]
        r, f = (reference.D(x, *alone) for x in (real, reference.G(z, *theta)))
        g = tg.grad(gan.Wasserstein().discriminator(r, f), alone)
        sentences["the penalty has no effect"] = was - lr * np.concatenate(
            [np.ravel(a.numpy()) for a in g]
        )
    value(after, right, f"{name} after the {which}'s step", sentences, rtol=1e-4, atol=1e-6)


@check(4, "the discriminator's step", points=1)
def discriminator(student, reference, rng):
    inputs = *a_step(reference, rng), 0.01
    real, z, eps, theta, psi, _ = inputs
    r, f = (reference.D(x, *psi).numpy().mean() for x in (real, reference.G(z, *theta)))
    penalty = reference.gradient_penalty(reference.D, real, reference.G(z, *theta), eps, *psi)
    weighted = reference.LAMBDA * penalty.item()
    mistakes = {
        "E[D(x)] − E[D(G(z))] has the wrong sign: D should score real points higher": r
        - f
        + weighted,
        "the penalty is missing": f - r,
        "the penalty is subtracted": f - r - weighted,
        "λ is missing": f - r + weighted / reference.LAMBDA,
    }
    found = student.tensors.one_step("discriminator", *inputs)
    compare_step(found, "discriminator", reference, *inputs, mistakes)


@check(4, "the generator's step", points=1)
def generator(student, reference, rng):
    inputs = *a_step(reference, rng), 0.01
    real, z, _, theta, psi, _ = inputs
    scores = reference.D(reference.G(z, *theta), *psi)
    r, f = (x.numpy().mean() for x in (reference.D(real, *psi), scores))
    mistakes = {
        "E[D(G(z))] has the wrong sign: the generator raises its scores": f,
        "this is the discriminator's loss": f - r,
        "this is the non-saturating loss": OTHER.generator(scores).item(),
    }
    found = student.tensors.one_step("generator", *inputs)
    compare_step(found, "generator", reference, *inputs, mistakes)


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


@check(4, "the generated points after training, from another start", points=1)
def learns(student, reference, rng):
    judge(reference, student.tensors.train(seed=int(rng.integers(2**31))), rng)
