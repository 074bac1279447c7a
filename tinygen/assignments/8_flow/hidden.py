"""Hidden tests: other points and steps, orders of convergence, labels, other trained networks."""

import numpy as np

from tinygen import metrics
from tinygen.assignments import check, gradient, require, value
from tinygen.flow import ode


@check(1, "the ends of the line, and other dimensions", points=1)
def ends(student, reference, rng):
    z, x = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    t = np.array([[0.0], [1.0], [0.25], [0.5]])
    x_t, u = student.line(z, x, t)
    value(x_t, [z[0], x[1], 0.75 * z[2] + 0.25 * x[2], (z[3] + x[3]) / 2], "x_t")
    value(u, x - z, "u")


@check(1, "the loss and its gradient for other shapes", points=2)
def losses(student, reference, rng):
    for shape in [(7, 2), (3, 6)]:
        v, u = rng.normal(size=shape), rng.normal(size=shape)
        value(student.tensors.matching_loss(v, u), np.square(v - u).mean(), "the loss")
        gradient(student.gradients.matching_loss, lambda v, u: np.square(v - u).mean(), v, u)


@check(2, "the number of calls", points=1)
def calls(student, reference, rng):
    n = int(rng.integers(3, 9))
    value(student.calls_of(reference.euler, n), n, f"calls of Euler's method in {n} steps")
    value(student.calls_of(reference.heun, n), 2 * n, f"calls of Heun's method in {n} steps")


@check(2, "both methods between two classes", points=2)
def between(student, reference, rng):
    z = rng.normal(size=(30, 2))
    for n in (1, 7, int(rng.integers(20, 40))):

        def velocity(x, t):
            return reference.to_any(x, np.full((len(x), 1), t))

        times = np.linspace(0, 1, n + 1)
        value(
            student.euler(reference.to_any, z, n),
            ode.solve(velocity, z, times, ode.euler),
            f"euler, {n} steps",
        )
        value(
            student.heun(reference.to_any, z, n),
            ode.solve(velocity, z, times, ode.heun),
            f"heun, {n} steps",
        )


@check(2, "the orders 1 and 2", points=1)
def orders(student, reference, rng):
    z = rng.normal(size=(30, 2))
    exact = reference.MEANS[0] + reference.S * z
    for method, expected in [(student.euler, 1), (student.heun, 2)]:
        few, many = (np.abs(method(reference.gaussian, z, n) - exact).max() for n in (64, 128))
        found = np.log2(few / many)
        require(
            abs(found - expected) < 0.2,
            f"order {found:.2f} in place of {expected}: twice the steps",
        )


@check(3, "guidance with other weights and labels", points=2)
def guidance(student, reference, rng):
    x, t, y = (
        rng.normal(size=(9, 2)),
        rng.random((9, 1)),
        rng.permutation([0, 0, 0, 1, 1, 1, 1, 2, 2]),
    )
    v, any_class = reference.exact_velocity(x, t, y), reference.to_any(x, t)
    for w in (0.0, 0.5, 2.0, float(rng.uniform(3, 6))):
        found = student.guided(reference.exact_velocity, x, t, y, w)
        value(found, (1 - w) * any_class + w * v, f"w = {w:.3g}")


@check(3, "labels dropped with other probabilities", points=2)
def dropping(student, reference, rng):
    y = rng.integers(0, 2, 6000)
    for probability, r in zip((0.0, 0.1, 0.6, 1.0), rng.spawn(4)):
        found = np.asarray(student.drop_labels(y, probability, r))
        dropped = found == reference.ANY
        shares = [float(dropped[y == k].mean()) for k in (0, 1)] if found.shape == y.shape else [-1]
        close = all(abs(share - probability) < 0.05 for share in shares)
        close = close and shares == [probability] * 2 if probability in (0, 1) else close
        kept = found.shape == y.shape and np.array_equal(found[~dropped], y[~dropped])
        require(
            close and kept,
            f"with probability {probability}, the shares that are dropped are {shares}",
        )


@check(4, "the loss with dropped labels", points=2)
def dropped_loss(student, reference, rng):
    y = rng.integers(0, 2, 20_000)
    x = reference.MEANS[y] + reference.S * rng.normal(size=(len(y), 2))
    z, t = rng.normal(size=x.shape), rng.random((len(x), 1))
    x_t, u = (1 - t) * z + t * x, x - z
    any_class = np.mean((reference.to_any(x_t, t) - u) ** 2)
    least = np.pi * reference.S / 2
    for drop in (0.5, 1.0):
        found = [student.loss_of(reference.exact_velocity, x, y, r, drop) for r in rng.spawn(4)]
        expected = drop * any_class + (1 - drop) * least
        problem = "labels are not dropped" if abs(np.mean(found) / least - 1) < 0.1 else ""
        close = max(abs(np.array(found) / expected - 1)) < 0.1
        require(
            close, f"drop = {drop}: {np.round(found, 3)}, expected about {expected:.3g}. {problem}"
        )


@check(4, "another network trained with the loss, with and without labels", points=2)
def trained(student, reference, rng):
    network = reference.Velocity(rng)
    arrays = student.tensors.trained(int(rng.integers(2**31)))
    for p, array in zip(network.parameters(), arrays, strict=True):
        p.data = array
    x, labels = reference.moons(2000, rng)
    for k, most in [(0, 0.05), (1, 0.05), (reference.ANY, 0.03)]:

        def velocity(x, t, k=k):
            return network(x, np.full((len(x), 1), t), np.full(len(x), k)).numpy()

        z = rng.normal(size=(1000, 2))
        samples = ode.solve(velocity, z, np.linspace(0, 1, 17), ode.midpoint)
        distance = metrics.energy_distance(samples, x if k == reference.ANY else x[labels == k])
        name = "without a label" if k == reference.ANY else f"of class {k}"
        require(
            distance < most, f"samples {name}: energy distance {distance:.3f}, not below {most}"
        )


@check(5, "the energy distance of other sets", points=2)
def energy(student, reference, rng):
    for n, m, dimension in [(5, 9, 2), (30, 20, 3), (400, 300, 2)]:
        a, b = rng.normal(size=(n, dimension)), rng.normal(size=(m, dimension)) + 0.3
        name = f"the energy distance of {n} and {m} points"
        value(student.energy_distance(a, b), metrics.energy_distance(a, b), name, rtol=1e-6)


@check(5, "the measured orders", points=1)
def measured(student, reference, rng):
    z, calls = rng.normal(size=(100, 2)), np.array([64, 128, 256])
    exact = reference.MEANS[0] + reference.S * z

    def velocity(x, t):
        return reference.gaussian(x, np.full((len(x), 1), t))

    table = student.compare(reference.gaussian, z, exact, calls.tolist())
    for k, method in enumerate((ode.euler, ode.heun)):
        off = [
            ode.solve(velocity, z, np.linspace(0, 1, n // (k + 1) + 1), method) - exact
            for n in calls
        ]
        errors = [np.linalg.norm(x) for x in off]
        expected = -np.polyfit(np.log(calls), np.log(errors), 1)[0]
        found = student.order(calls, table[:, k])
        value(found, expected, f"the measured order of {method.__name__}", rtol=1e-5)


@check(5, "the order of errors off the line", points=1)
def off_the_line(student, reference, rng):
    calls = np.array([4, 8, 16, 64, 128])
    errors = 2.0 * calls**-1.5 * np.exp(rng.normal(size=5))
    centred = np.log(calls) - np.log(calls).mean()
    value(student.order(calls, errors), -(centred @ np.log(errors)) / (centred @ centred), "q")
