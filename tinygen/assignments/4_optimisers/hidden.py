"""Hidden tests: random gradients, tiny gradients, valleys, and whole schedules."""

import numpy as np

import tinygen as tg
from tinygen import optim
from tinygen.assignments import check, require, value

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def right_trace(optimiser, p, grads, **options):
    """The parameters after each step of an optimiser of tinygen's."""
    tensor = tg.Tensor(p.copy(), requires_grad=True)
    steps, path = optimiser([tensor], **options), []
    for g in grads:
        steps.step([tg.Tensor(g)])
        path.append(tensor.numpy().copy())
    return np.array(path)


def gradients(rng, *shape):
    """None near 0, where ε would count: it has checks of its own"""
    return rng.choice([-1, 1], shape) * rng.uniform(0.5, 1.5, shape)


def problem_of(student, rng, method, optimiser, **options):
    """What a step changes in place, if it is right."""
    p, (g, other) = rng.normal(size=5), gradients(rng, 2, 5)
    right = right_trace(optimiser, p, [g, other], lr=0.1, **options)
    if not np.allclose(student.trace(method, p, [g, other], lr=0.1), right, **CLOSE):
        return f"{method}_step takes wrong steps"
    changed = student.changed_in_place(method, p, g, 0.1)
    return f"{method}_step changes in place: {', '.join(changed)}" if changed else ""


@check(1, "momentum in a narrow valley", points=1)
def narrow(student, reference, rng):
    """The best lr and μ for curvatures from 1 to 10⁴ lose a factor of about 0.98 with each step."""
    root = 100.0
    lr, mu = 4 / (root + 1) ** 2, ((root - 1) / (root + 1)) ** 2
    curvature = np.array([1.0, 10.0, 100.0, 1e4])
    p, b = rng.uniform(1, 2, 4), np.zeros(4)
    right = p.copy()
    velocity = np.zeros(4)
    for _ in range(300):
        velocity = mu * velocity + curvature * right
        right = right - lr * velocity
        p, b = student.momentum_step(p, curvature * p, b, lr, mu=mu)
    value(p, right, "p after 300 steps", rtol=1e-6)


@check(1, "momentum changes nothing in place", points=1)
def momentum_keeps(student, reference, rng):
    problem = problem_of(student, rng, "momentum", optim.SGD, momentum=0.9)
    require(not problem, problem)


@check(2, "RMSprop with tiny gradients", points=1)
def rmsprop_tiny(student, reference, rng):
    g, v = np.array([0.0, 1e-8, -3e-8]), np.zeros(3)
    found, v = student.rmsprop_step(np.zeros(3), g, v, 1.0, alpha=0.9, eps=1e-8)
    r = 0.1 * g**2
    with np.errstate(all="ignore"):
        mistakes = {"ε is inside the root": -g / np.sqrt(r + 1e-8), "ε is missing": -g / np.sqrt(r)}
    value(found, -g / (np.sqrt(r) + 1e-8), "p after a step of lr = 1 from 0", mistakes)


@check(2, "the path of RMSprop", points=2)
def rmsprop(student, reference, rng):
    p, grads = rng.normal(size=(2, 3)), gradients(rng, 30, 2, 3)
    for alpha in (0.99, 0.7):
        right = right_trace(optim.RMSprop, p, grads, lr=0.1, alpha=alpha)
        mistakes = {
            "this is Adagrad: v forgets nothing": right_trace(
                optim.Adagrad, p, grads, lr=0.1 / (1 - alpha) ** 0.5, eps=1e-8 / (1 - alpha) ** 0.5
            ),
            "α and 1 − α are exchanged": right_trace(
                optim.RMSprop, p, grads, lr=0.1, alpha=1 - alpha
            ),
        }
        found = student.trace("rmsprop", p, grads, lr=0.1, alpha=alpha)
        value(found, right, f"p after each step with α = {alpha}", mistakes, **CLOSE)


@check(2, "RMSprop changes nothing in place", points=1)
def rmsprop_keeps(student, reference, rng):
    problem = problem_of(student, rng, "rmsprop", optim.RMSprop)
    require(not problem, problem)


@check(3, "Adam with tiny gradients", points=1)
def adam_tiny(student, reference, rng):
    g = np.array([0.0, 1e-8, -3e-8])
    found, _ = student.adam_step(np.zeros(3), g, (np.zeros(3), np.zeros(3), 0), 1.0)
    r = 0.001 * g**2
    with np.errstate(all="ignore"):
        mistakes = {
            "ε is inside the root": -g / np.sqrt(g**2 + 1e-8),
            "ε is missing": -np.sign(g) + 0 / g,
            "ε is added to √v, before the correction": -g * np.sqrt(0.001) / (np.sqrt(r) + 1e-8),
        }
    value(found, -g / (abs(g) + 1e-8), "p after a step of lr = 1 from 0", mistakes)


@check(3, "Adam over 300 steps, whatever the gradient's scale", points=1)
def adam_long(student, reference, rng):
    p, grads = rng.normal(size=5), gradients(rng, 300, 5)
    right = right_trace(optim.Adam, p, grads, lr=0.01)
    value(student.trace("adam", p, grads, lr=0.01), right, "p after each step", **CLOSE)
    found = student.trace("adam", p, 1e4 * grads, lr=0.01)
    value(found, right, "p after each step, with gradients times 10⁴", **CLOSE)


@check(3, "the path of AdamW", points=2)
def adamw(student, reference, rng):
    p, grads = rng.normal(size=6), gradients(rng, 20, 6)
    options = {"lr": 0.1}
    right = right_trace(optim.AdamW, p, grads, weight_decay=0.3, **options)
    mistakes = {
        "the decay went into the averages: it is not decoupled": right_trace(
            optim.Adam, p, grads, l2=0.3, **options
        ),
        "nothing decays": right_trace(optim.Adam, p, grads, **options),
    }
    late = [p]
    for step in np.diff([p, *right_trace(optim.Adam, p, grads, **options)], axis=0):
        late.append((1 - 0.1 * 0.3) * (late[-1] + step))
    mistakes["p shrinks after Adam's step, not before it"] = np.array(late[1:])
    found = student.trace("adamw", p, grads, lr=0.1, decay=0.3)
    value(found, right, "p after each step", mistakes, **CLOSE)


@check(3, "Adam reaches the end of Rosenbrock's valley", points=1)
def valley(student, reference, rng):
    p = np.array([-1.5, 2.0]) + rng.uniform(-0.2, 0.2, 2)
    path = student.descend("adam", p, reference.valley, [0.1] * 1500)
    right = reference.descend("adam", p, reference.valley, [0.1] * 30)
    if not np.allclose(path[:31], right, rtol=1e-4):
        return value(path[:31], right, "the first 30 steps", **CLOSE)
    far = np.linalg.norm(path[-1] - 1)
    require(far < 0.05, f"after 1500 steps p is {far:.2g} away from the minimum (1, 1), not < 0.05")


@check(3, "Adam and AdamW change nothing in place", points=1)
def adam_keeps(student, reference, rng):
    problem = problem_of(student, rng, "adam", optim.Adam)
    problem = problem or problem_of(student, rng, "adamw", optim.AdamW, weight_decay=0.01)
    require(not problem, problem)


@check(4, "the norm over all arrays", points=1)
def all_arrays(student, reference, rng):
    grads = [rng.normal(size=shape) for shape in ((3, 4), (5,), (2, 2, 3), ())]
    right = np.linalg.norm(np.concatenate([g.ravel() for g in grads]))
    for c in (0.3 * right, 0.9 * right):
        found, norm = student.clip(grads, float(c))
        one_vector = np.concatenate([np.ravel(g) for g in [*found, norm]])
        expected = np.concatenate([g.ravel() * c / right for g in grads])
        value(one_vector, np.append(expected, right), "all gradients, clipped, and ‖g‖")


@check(4, "gradients that are all zero", points=1)
def zeros(student, reference, rng):
    found, norm = student.clip([np.zeros(3), np.zeros((2, 2))], 1.0)
    hint = "not a number: ‖g‖ may be 0"
    value(np.append(found[0], norm), np.zeros(4), "(0, 0, 0) and ‖g‖", {hint: [np.nan] * 3 + [0]})


@check(5, "every step of a schedule", points=2)
def schedule(student, reference, rng):
    for _ in range(2):
        warm_up, steps = int(rng.integers(3, 8)), int(rng.integers(15, 30))
        peak, final = rng.uniform(0.1, 1), rng.uniform(0.001, 0.05)
        right = optim.warm_up(optim.cosine(peak, steps - warm_up, final), warm_up)
        found = [student.rate(t, peak, warm_up, steps, final=final) for t in range(40)]
        value(found, [right(t) for t in range(40)], "the rates of steps 0 … 39")


@check(5, "a schedule without warm-up", points=1)
def without_warm_up(student, reference, rng):
    steps, peak = int(rng.integers(10, 20)), rng.uniform(0.1, 1)
    found = [student.rate(t, peak, 0, steps) for t in range(steps + 1)]
    right = optim.cosine(peak, steps)
    value(found, [right(t) for t in range(steps + 1)], "the rates of steps 0 … T")
