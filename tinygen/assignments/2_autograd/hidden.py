"""Hidden tests: random programs and graphs, extreme inputs, a network that learns."""

import operator

import numpy as np

import tinygen as tg
from tinygen.assignments import check, require, value

ARRAYS = "the gradient is taken for a constant: a vjp computes with arrays, not with Tensors"
BINARY = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
BINARY["@"] = operator.matmul


def interpret(program, *variables, library=np):
    """The value of a program, by NumPy or by tinygen."""
    names, stack = dict(zip("xyzw", variables, strict=False)), []
    for token in program.split():
        word, _, axes = token.partition(":")
        if word in names:
            stack.append(names[word])
        elif word in ("exp", "log", "tanh"):
            stack.append(getattr(library, word)(stack.pop()))
        elif word == "sum":
            stack.append(stack.pop().sum(tuple(map(int, axes.split(",")))))
        else:
            y, x = stack.pop(), stack.pop()
            stack.append(BINARY[word](x, y))
    return stack.pop()


def random_program(rng):
    """A sum of nested operations, each at least once, and the variables."""
    inner = ["tanh", "y *", "exp", "y /", "w @"]
    outer = ["tanh", "y *", "exp", "y /", "w @", "log", "z -", "sum:0 y *"]
    terms = [f"x {rng.choice(inner)} {operation}" for operation in rng.permutation(outer)]
    curved = [
        "tanh",
        "exp",
        "log",
    ]  # each operation inside one, so that all second derivatives count
    terms += ["x exp sum:0 y *", *(f"x {operation} {rng.choice(curved)}" for operation in inner)]
    x, y, z = (rng.uniform(0.5, 1.5, shape) for shape in ((3, 4), (4,), (3, 1)))
    return " ".join(terms) + " +" * (len(terms) - 1), (x, y, z, rng.uniform(0.1, 0.4, (4, 4)))


def joined(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def right_gradients(program, variables, g):
    tensors = [tg.Tensor(a, requires_grad=True) for a in variables]
    y = interpret(program, *tensors, library=tg)
    grads = tg.grad(y, tensors, cotangent=tg.Tensor(g), allow_unreachable=True)
    return [gx.numpy() for gx in grads]


def one_operation(student, rng, program, *variables):
    g = rng.normal(size=interpret(program, *variables).shape)
    found = student.one_step_back(g, *variables, program=program)
    for name, gx, right in zip("xy", found, right_gradients(program, variables, g), strict=False):
        value(gx, right, f"the gradient of {name} in `{program}`", rtol=1e-11)


def once(calls):
    require(np.all(calls == 1), f"a vjp was called {calls.max()} times; expected once each")


@check(1, "the values of the operations", points=1)
def values(student, reference, rng):
    x, y = rng.uniform(0.5, 1.5, (3, 4)), rng.uniform(0.5, 1.5, 4)
    for program in ("x y -", "x y *", "x y /", "x exp", "x log", "x tanh"):
        value(student.forward(x, y, program=program), interpret(program, x, y), f"`{program}`")
    value(student.forward(x, y[:, None], program="x y @"), x @ y[:, None], "`x y @`")


@check(1, "the gradients of elementwise operations for any shape", points=2)
def elementwise(student, reference, rng):
    for program in ("x exp", "x log", "x tanh", "x y -", "x y *", "x y /"):
        variables = rng.uniform(0.5, 1.5, (1 + ("y" in program), *rng.integers(2, 5, 3)))
        one_operation(student, rng, program, *variables)
    (found,) = student.one_step_back(np.ones(3), np.array([-800.0, 0, 800]), program="x tanh")
    mistakes = {"not a number: eˣ overflows": [np.nan, 1, np.nan]}
    value(found, [0, 1, 0], "the gradient of tanh at −800, 0 and 800", mistakes)


@check(1, "the gradients of matrix products, with a batch", points=1)
def matrices(student, reference, rng):
    b, n, k, m = rng.permutation([2, 3, 4, 5])
    one_operation(student, rng, "x y @", rng.normal(size=(n, k)), rng.normal(size=(k, m)))
    one_operation(student, rng, "x y @", rng.normal(size=(b, n, k)), rng.normal(size=(b, k, m)))


@check(2, "sums over any axes", points=1)
def sums(student, reference, rng):
    x = rng.normal(size=rng.permutation([2, 3, 4]))
    for axes in ("1", "-1", "0,2", "2,0", "-1,-2", "0,1,2"):
        program = f"x sum:{axes}"
        value(student.forward(x, program=program), interpret(program, x), f"`{program}`")
        one_operation(student, rng, program, x)


@check(2, "the gradients where the operations broadcast", points=2)
def broadcasting(student, reference, rng):
    n, m, k = rng.permutation([2, 3, 4])
    for a, b in [((n, m), (m,)), ((n, 1), (m,)), ((k, n, m), (n, 1)), ((1, n), (k, m, 1))]:
        for operation in "+-*/":
            variables = (rng.uniform(0.5, 1.5, shape) for shape in (a, b))
            one_operation(student, rng, f"x y {operation}", *variables)


@check(3, "a graph in which every node uses all before it", points=2)
def complete(student, reference, rng):
    n = 8
    edges = rng.permutation([(k, j) for k in range(n) for j in range(k)])
    weights, g = rng.normal(size=len(edges)), rng.normal(size=3)
    matrix = np.zeros((n, n))
    matrix[edges[:, 0], edges[:, 1]] = weights
    right = np.linalg.solve(np.eye(n) - matrix.T, np.eye(n)[-1])[:, None] * g
    found, calls = student.graph_backward(g, edges, weights)
    value(np.array(found), right, "the gradients of the nodes", rtol=1e-9)
    if np.allclose(found, right):
        once(calls)


@check(3, "a value doubled 40 times", points=1)
def doubled(student, reference, rng):
    edges = np.repeat(np.stack([np.arange(1, 41), np.arange(40)], axis=1), 2, axis=0)
    found, calls = student.graph_backward(1.0, edges, np.ones(80))
    value(found[0], 2.0**40, "the gradient of x + x, doubled 40 times")
    once(calls)


@check(3, "a variable that is not used", points=1)
def unused(student, reference, rng):
    x, y, z = rng.normal(size=3), rng.normal(size=3), rng.normal(size=(2, 5))
    gx, gy, gz = student.backward(np.ones(3), x, y, z, program="x x + y +")
    mistakes = {"a variable that is not used needs zeros of its own shape": 0.0}
    if np.shape(gz) != (2, 5) or np.any(gz):
        value(gz, np.zeros((2, 5)), "the gradient of z in x + x + y", mistakes)
    value(np.stack([gx, gy]), [[2] * 3, [1] * 3], "the gradients of x and y in x + x + y")


@check(3, "cotangents that are shared", points=1)
def shared(student, reference, rng):
    x, y, g = rng.normal(size=(3, 4))
    found = []
    for program in ("x y + x +", "y x + x +", "x x y + +", "x y x + +"):
        found.append(student.backward(g, x, y, program=program))
    right = np.stack([2 * g, g])
    wrong = [pair for pair in found if not np.allclose(pair, right)]
    changed = "a cotangent that another node shares was changed in place"
    mistakes = {changed: 2 * np.stack([g, g]), f"{changed} ": 3 * np.stack([g, g])}
    value(np.array((wrong or found)[0]), right, "the gradients of x and y in x + x + y", mistakes)


@check(3, "random programs", points=1)
def programs(student, reference, rng):
    right, found = [], []
    for _ in range(3):
        program, variables = random_program(rng)
        g = rng.normal(size=(3, 4))
        right += right_gradients(program, variables, g)
        found += student.backward(g, *variables, program=program)
    value(joined(found), joined(right), "the gradients of random programs", rtol=1e-11, atol=1e-11)


@check(3, "a network learns two moons", points=1)
def learns(student, reference, rng):
    seed = int(rng.integers(2**31))
    early, right = (joined(f(seed=seed, steps=20)) for f in (student.train, reference.train))
    if not np.allclose(early, right):
        return value(early, right, "the parameters after 20 steps", rtol=1e-5)
    x, side = reference.moons(500, rng)
    w1, b1, w2, b2 = student.train(seed=seed, steps=640)
    right = np.mean((np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2) > 0) == (side > 0))
    require(right > 0.97, f"after 640 steps, {right:.0%} of new points are told apart, not 97 %")


@check(4, "a Hessian with elements off its diagonal", points=1)
def full_hessian(student, reference, rng):
    x, v = rng.normal(size=(2, 5))
    found = student.hessian_backward(v, x, program="x sum:0 x x * sum:0 *")
    hessian = 2 * x[:, None] + 2 * x + 2 * x.sum() * np.eye(5)
    mistakes = {
        ARRAYS: 0 * v,
        "the rows are summed first, then multiplied by v": hessian.sum(axis=1) * v,
        "it is the diagonal of H, times v": np.diag(hessian) * v,
    }
    value(found, hessian @ v, "H v of Σ x · Σ x²", mistakes)


@check(4, "the second derivatives of random programs", points=2)
def random_hessians(student, reference, rng):
    right, found = [], []
    for _ in range(3):
        program, variables = random_program(rng)
        program, v = f"{program} sum:0,1", rng.normal(size=variables[0].shape)
        x, *others = (tg.Tensor(a, requires_grad=True) for a in variables)
        slope = tg.grad(interpret(program, x, *others, library=tg), x, create_graph=True)
        right.append(tg.grad(slope, x, cotangent=tg.Tensor(v)).numpy())
        found.append(student.hessian_backward(v, *variables, program=program))
    value(joined(found), joined(right), "H v of random programs", rtol=1e-11, atol=1e-11)
