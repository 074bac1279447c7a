"""Visible tests: lines, velocities with known solutions, and one trained network."""

import numpy as np

from tinygen import metrics
from tinygen.assignments import check, gradient, require, value
from tinygen.flow import ode


@check(1, "a point on the line, and its velocity", points=1)
def lines(student, reference, rng):
    z, x, t = rng.normal(size=(6, 2)), rng.normal(size=(6, 2)), rng.random((6, 1))
    x_t, u = student.line(z, x, t)
    there = x + (z - x) * (1 - t)
    mistakes = {"z and x are swapped: t = 0 is noise": x + z - there}
    value(x_t, there, "x_t", mistakes)
    mistakes = {
        "the sign is wrong: from noise to data": z - x,
        "the velocity is not x_t − z": there - z,
    }
    value(u, x - z, "u", mistakes)


@check(1, "the loss and its gradient", points=1)
def loss(student, reference, rng):
    v, u = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    square = np.square(v - u).sum()
    mistakes = {
        "a sum over all elements, not a mean": square,
        "a mean over rows of a sum over columns: divide by N·D": square / 5,
        "a factor ½ too much": square / 30,
        "the square is missing": np.abs(v - u).mean(),
    }
    value(student.tensors.matching_loss(v, u), square / 15, "the loss", mistakes)
    gradient(student.gradients.matching_loss, lambda v, u: np.square(v - u).sum() / v.size, v, u)


@check(2, "Euler's method with known solutions", points=1)
def euler(student, reference, rng):
    z, n = rng.normal(size=(3, 2)), int(rng.integers(4, 9))
    h = 1 / n
    mistakes = {
        f"{n - 1} steps in place of {n}": z * (1 + h) ** (n - 1),
        f"{n + 1} steps in place of {n}": z * (1 + h) ** (n + 1),
        f"n steps of length 1/n, not {n - 1} of length 1/{n - 1}": z * (1 + 1 / (n - 1)) ** (n - 1),
        "the step goes backwards, x − h v": z * (1 - h) ** n,
        "the step's length h is missing": z * 2.0**n,
        "the velocity is always that of z": z * 2,
    }
    name = f"dx/dt = x, {n} steps"
    value(student.euler(reference.growth, z, n), z * (1 + h) ** n, name, mistakes)
    ends = 3 * np.square(np.linspace(0, 1, n + 1))
    mistakes = {
        "a step from t to t + h needs the velocity at t; the first t is 0": z + ends[1:].mean(),
        "the last step is missing": z + h * ends[:-2].sum(),
        "t is always 0": z,
    }
    name = f"dx/dt = 3t², {n} steps"
    value(student.euler(reference.clock, z, n), z + ends[:-1].mean(), name, mistakes)


@check(2, "Heun's method with known solutions", points=1)
def heun(student, reference, rng):
    z, n = rng.normal(size=(3, 2)), int(rng.integers(4, 9))
    h = 1 / n
    mistakes = {
        "k₂ is evaluated at the old x": z * (1 + h) ** n,
        "k₂ is evaluated at x + k₁ in place of x + h k₁": z * (1 + 1.5 * h) ** n,
        "k₂ is evaluated at x + h/2 k₁ in place of x + h k₁": z * (1 + h + h**2 / 4) ** n,
        "the step must be h times half of k₁ + k₂": z * (1 + 2 * h + h**2) ** n,
        f"{n - 1} steps in place of {n}": z * (1 + h + h**2 / 2) ** (n - 1),
        "the step goes backwards, x − h v": z * (1 - h + h**2 / 2) ** n,
    }
    name = f"dx/dt = x, {n} steps"
    value(student.heun(reference.growth, z, n), z * (1 + h + h**2 / 2) ** n, name, mistakes)
    ends = 3 * np.square(np.linspace(0, 1, n + 1))
    mistakes = {
        "k₂ is evaluated at the old t": z + ends[:-1].mean(),
        "both k₁ and k₂ are evaluated at t + h": z + ends[1:].mean(),
        "k₂ is evaluated at t + h/2, as in the midpoint method": z + 1 - h**2 / 4,
    }
    expected = z + (ends[:-1] + ends[1:]).mean() / 2
    value(student.heun(reference.clock, z, n), expected, f"dx/dt = 3t², {n} steps", mistakes)


@check(2, "both methods follow an exact velocity", points=1)
def follow(student, reference, rng):
    z = rng.normal(size=(20, 2))

    def velocity(x, t):
        return reference.gaussian(x, np.full((len(x), 1), t))

    for method in (ode.euler, ode.heun):
        name = method.__name__
        found = (student.euler if name == "euler" else student.heun)(reference.gaussian, z, 10)
        value(found, ode.solve(velocity, z, np.linspace(0, 1, 11), method), f"{name}, 10 steps")


@check(3, "the guided velocity", points=1)
def guidance(student, reference, rng):
    x, t, y = rng.normal(size=(6, 2)), rng.random((6, 1)), np.arange(6) % 2
    v, any_class = (reference.exact_velocity(x, t, k) for k in (y, np.full(6, reference.ANY)))
    away = v - any_class
    mistakes = {
        "w is added to the velocity of the class: w = 1 must give this velocity itself": v
        + 3 * away,
        "the two velocities are swapped": v - 3 * away,
        "the sign is wrong": any_class - 3 * away,
        "w is ignored": v,
    }
    value(
        student.guided(reference.exact_velocity, x, t, y, 3.0),
        any_class + 3 * away,
        "w = 3",
        mistakes,
    )
    value(student.guided(reference.exact_velocity, x, t, y, 1.0), v, "w = 1")


@check(3, "dropped labels", points=1)
def dropping(student, reference, rng):
    y = np.arange(4000) % 2
    found = np.asarray(student.drop_labels(y, 0.3, rng))
    if found.shape != y.shape:
        return require(False, f"its shape is {found.shape}, expected {y.shape}")
    dropped = found == reference.ANY
    share = dropped.mean()
    hint = ": `probability` is that of ANY, not that of keeping" if abs(share - 0.7) < 0.05 else ""
    hint = ": each label is dropped independently of the others" if share in (0, 1) else hint
    require(abs(share - 0.3) < 0.05, f"{share:.0%} are ANY, expected about 30 %{hint}")
    require(np.array_equal(found[~dropped], y[~dropped]), "labels that are not dropped must stay")


@check(4, "the loss of a known velocity", points=1)
def known_loss(student, reference, rng):
    y = rng.integers(0, 2, 20_000)
    x = reference.MEANS[y] + rng.uniform(0.85, 1.0) * rng.normal(size=(len(y), 2))
    found = [student.loss_of(reference.exact_velocity, x, y, r, 0.0) for r in rng.spawn(5)]
    if np.ptp(found) > 0.15 * np.mean(found):
        spread = f"{min(found):.3g} to {max(found):.3g}"
        return require(False, f"it varies from {spread}: does each row have a t of its own?")

    def simulated(draw=rng.standard_normal, swap=False, sign=1, drop=False):
        """the mean over 100 000 rows"""
        data, labels = np.tile(x, (5, 1)), np.tile(np.full_like(y, reference.ANY) if drop else y, 5)
        z, t = draw(data.shape), rng.random((len(data), 1))
        u = sign * (data - z)
        v = reference.exact_velocity(z + (1 - t if swap else t) * (data - z), t, labels)
        return np.mean((v - u) ** 2)

    mistakes = {
        "z and x are swapped": simulated(swap=True, sign=-1),
        "z and x are swapped in x_t": simulated(swap=True),
        "u has the wrong sign": simulated(sign=-1),
        "the noise z must be normal, not uniform": simulated(rng.random),
        "labels are dropped although `drop` is 0": simulated(drop=True),
        "a sum over columns, not a mean": 2 * simulated(),
        "half of the mean": simulated() / 2,
    }
    value(np.mean(found), simulated(), "the mean of five losses", mistakes, rtol=0.03)
    found = [student.loss_of(reference.exact_velocity, x, y, r, 1.0) for r in rng.spawn(5)]
    mistakes = {"labels are not dropped": simulated()}
    value(np.mean(found), simulated(drop=True), "the same with drop = 1", mistakes, rtol=0.03)


@check(4, "a network trained with the loss", points=1)
def trained(student, reference, rng):
    network = reference.Velocity(rng)
    for p, array in zip(network.parameters(), student.tensors.trained(0), strict=True):
        p.data = array
    x, labels = reference.moons(2000, rng)
    for k in (0, 1):

        def velocity(x, t, k=k):
            return network(x, np.full((len(x), 1), t), np.full(len(x), k)).numpy()

        z = rng.normal(size=(500, 2))
        samples = ode.solve(velocity, z, np.linspace(0, 1, 17), ode.midpoint)
        distance = metrics.energy_distance(samples, x[labels == k])
        text = f"samples of class {k}: energy distance {distance:.3f} from data, not below 0.05"
        require(distance < 0.05, text)


@check(5, "the energy distance of a few points", points=1)
def few(student, reference, rng):
    a, b = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [0.0, 2.0], [0.0, 4.0]])
    between = np.mean([0, 2, 4, 5, np.sqrt(13), 3])
    within_a, within_b = 5, 8 / 3
    mistakes = {
        "the factor 2 is missing": between - within_a - within_b,
        "the means within a set count i = j, whose distance is 0": 2 * between - 2.5 - 16 / 9,
        "the distances are squared": 2 * np.mean([0, 4, 16, 25, 13, 9]) - 25 - 8,
        "each pair within a set is counted once, but divided as if twice": 2 * between
        - 2.5
        - 4 / 3,
        "only one of the two sets is subtracted": 2 * between - within_a,
        "it has the wrong sign": within_a + within_b - 2 * between,
    }
    expected = 2 * between - within_a - within_b
    value(student.energy_distance(a, b), expected, "the energy distance", mistakes)


@check(5, "a comparison at equal numbers of calls", points=1)
def comparison(student, reference, rng):
    z = rng.normal(size=(40, 2))
    exact = reference.MEANS[0] + reference.S * z

    def error(x):
        return np.sqrt(np.square(x - exact).sum(axis=1).mean())

    calls = [4, 8, 12]
    e, h, h2 = (
        [error(method(reference.gaussian, z, n // part)) for n in calls]
        for method, part in [(student.euler, 1), (student.heun, 2), (student.heun, 1)]
    )
    table, unequal = np.transpose([e, h]), np.transpose([e, h2])
    mistakes = {
        "equal numbers of steps, not of calls": unequal,
        "a mean over all coordinates: sum the squares of a point's coordinates": table / np.sqrt(2),
        "the root is missing": table**2,
        "rows and columns are swapped": table.T,
        "Euler's method is the first column": table[:, ::-1],
    }
    value(student.compare(reference.gaussian, z, exact, calls), table, "the errors", mistakes)


@check(5, "the order of convergence", points=1)
def orders(student, reference, rng):
    calls, q = np.array([8, 16, 32, 64]), rng.uniform(1, 4)
    errors = 3 * calls**-q
    mistakes = {
        "the sign is wrong: errors fall as calls^(−q)": -q,
        "fit the logarithm of errors against the logarithm of calls": -np.polyfit(
            calls, np.log(errors), 1
        )[0],
        "errors against calls is not a straight line: take logarithms": -np.polyfit(
            calls, errors, 1
        )[0],
        "the two axes are swapped": 1 / q,
    }
    value(student.order(calls, errors), q, "q", mistakes)
