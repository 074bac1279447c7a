"""Visible tests: small shapes, fixed seeds."""

import numpy as np

from tinygen.assignments import check, require, value

EXACT = {"rtol": 1e-11}  # an exact derivative, not a numerical one
ARRAYS = "the gradient is taken for a constant: a vjp computes with arrays, not with Tensors"


def each_element(g, shape):
    """Each element of g is added to the element that broadcasting has copied to its place."""
    result = np.zeros(shape)
    source = np.broadcast_to(np.arange(result.size).reshape(shape), g.shape)
    np.add.at(result.reshape(-1), source, g)
    return result


def once(calls, name):
    most = calls.max()
    require(np.all(calls == 1), f"in {name}: a vjp was called {most} times; expected once each")


@check(1, "the gradients of exp, log and tanh", points=1)
def functions(student, reference, rng):
    x, g = rng.uniform(0.5, 1.5, (200, 300)), rng.normal(size=(200, 300))
    unchanged = "z̄ is passed on unchanged: where is the derivative?"
    expected = {
        "exp": (g * np.exp(x), {unchanged: g, "the factor x is not the derivative of eˣ": g * x}),
        "log": (g / x, {unchanged: g, "the factor is z, the logarithm itself": g * np.log(x)}),
        "tanh": (
            g / np.cosh(x) ** 2,
            {
                unchanged: g,
                "1 − (…)² has the input in it, where the output belongs": g * (1 - x**2),
            },
        ),
    }
    for name, (right, mistakes) in expected.items():
        (found,) = student.one_step_back(g, x, program=f"x {name}")
        value(found, right, f"x̄ of {name}", mistakes, **EXACT)


@check(1, "the gradients of differences, products and quotients", points=2)
def arithmetic(student, reference, rng):
    x, y, g = rng.uniform(0.5, 1.5, (3, 4, 5))
    sign, itself = "its sign is flipped", "each factor's gradient is z̄ times the other factor"
    expected = {
        "-": (g, -g, {}, {sign: g}),
        "*": (g * y, g * x, {itself: g * x}, {itself: g * y}),
        "/": (
            g / y,
            -g * x / y**2,
            {"it is multiplied by y, not divided": g * y},
            {sign: g * x / y**2, "1/y has the derivative −1/y²": -g * x / y, "it is x̄": g / y},
        ),
    }
    for name, (gx, gy, of_x, of_y) in expected.items():
        found = student.one_step_back(g, x, y, program=f"x y {name}")
        value(found[0], gx, f"x̄ of x {name} y", of_x, **EXACT)
        value(found[1], gy, f"ȳ of x {name} y", of_y, **EXACT)


@check(1, "the gradients of a product of square matrices", points=1)
def square_matrices(student, reference, rng):
    x, y, g = rng.normal(size=(3, 3, 3))
    gx, gy = student.one_step_back(g, x, y, program="x y @")
    transposed, order = "the other matrix must be transposed", "the factors are in the wrong order"
    n = range(3)
    right = [[sum(g[i, j] * y[k, j] for j in n) for k in n] for i in n]
    value(gx, right, "x̄ of x @ y", {transposed: g @ y, order: y.T @ g}, **EXACT)
    right = [[sum(g[i, j] * x[i, k] for i in n) for j in n] for k in n]
    value(gy, right, "ȳ of x @ y", {transposed: x @ g, order: g @ x.T}, **EXACT)


@check(2, "the gradient of a sum over one axis", points=1)
def sums(student, reference, rng):
    x, g = rng.normal(size=(4, 4)), rng.normal(size=4)
    wrong = "z̄ is repeated along the wrong axis: it needs the summed axis, of length 1, first"
    mean = "it is divided by the length of the axis, as for a mean"
    for axis in (0, 1):
        right = np.stack([g] * 4, axis)
        (found,) = student.one_step_back(g, x, program=f"x sum:{axis}")
        mistakes = {wrong: right.T, mean: right / 4}
        value(found, right, f"x̄ of a sum over axis {axis}", mistakes, **EXACT)


@check(2, "what broadcasting repeats is summed", points=2)
def broadcast(student, reference, rng):
    for shape, larger in [((4,), (3, 4)), ((3, 1), (3, 4)), ((2, 1), (5, 2, 3)), ((), (2, 3))]:
        g = rng.normal(size=larger)
        right = each_element(g, shape)
        found = student.unbroadcast_array(g, shape)
        mistakes = {"a mean, not a sum": right * right.size / g.size}
        value(found, right, f"{larger} summed to {shape}", mistakes, **EXACT)


@check(3, "a value that is used twice", points=2)
def used_twice(student, reference, rng):
    g, (p, q, r, s) = rng.normal(size=(2, 3)), rng.uniform(2, 5, 4)
    lost = "one of its uses is lost: cotangents add up"
    early = "a passes its cotangent on before it has received all of it"
    twice = "a passes a part of its cotangent on twice"
    text = "a = p x, b = q a, y = r a + s b"
    for of_y, by in ([(3, 1), (3, 2)], [r, s]), ([(3, 2), (3, 1)], [s, r]):
        edges, weights = np.array([(1, 0), (2, 1), *of_y]), np.array([p, q, *by])
        (x, a, _, y), calls = student.graph_backward(g, edges, weights)
        if not np.allclose(y, g):
            value(y, g, f"the gradient of y in {text}", {"it is not g": np.ones_like(g)})
        one, other = r * g, q * s * g
        value(a, one + other, f"the gradient of a in {text}", {lost: one, f"{lost} ": other})
        wrong = {early: p * one, f"{early} ": p * other}
        wrong |= {twice: p * (2 * one + other), f"{twice} ": p * (one + 2 * other)}
        value(x, p * (one + other), f"the gradient of x in {text}", wrong)
        once(calls, text)


@check(3, "a chain of 5,000 nodes", points=1)
def chain(student, reference, rng):
    n = 5000
    edges = np.stack([np.arange(1, n), np.arange(n - 1)], axis=1)
    weights = np.exp(0.01 * rng.normal(size=n - 1))
    grads, calls = student.graph_backward(1.0, edges, weights)
    value(grads[0], weights.prod(), "the gradient of the first node", rtol=1e-9)
    once(calls, "a chain")


@check(4, "the second derivatives of Σ x³ and Σ eˣ", points=1)
def curvature(student, reference, rng):
    x, v = rng.normal(size=(2, 5))
    hessians = {"x x x * * sum:0": 6 * x, "x exp sum:0": np.exp(x)}  # their diagonals
    found = [student.hessian_backward(v, x, program=program) for program in hessians]
    right = np.array([h * v for h in hessians.values()])
    mistakes = {
        ARRAYS: 0 * right,
        f"{ARRAYS} ": right * [[0], [1]],
        f"{ARRAYS}  ": right * [[1], [0]],
    }
    mistakes |= {"the vector v is lost": right / v}
    value(found, right, "H v of Σ x³ and of Σ eˣ", mistakes)
