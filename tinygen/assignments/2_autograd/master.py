# Assignment 2: a tiny autograd engine
# file: engine.py
# uses: numpy
# minutes: 120

# %% [markdown]
# # A tiny autograd engine
#
# An array that remembers how it was computed can differentiate itself. You write the operations and
# the backward pass; a network then learns with them, and second derivatives need one line more.
#
# The notation throughout: z is the output of an operation, and z̄ is the derivative of the loss with
# respect to z, an array of z's shape. In code, `g` is z̄. A Tensor z holds `z.data`, an array, and
# `z.inputs`, a list of pairs (x, vjp), where the function vjp(g, z) returns x̄, the share of z̄ that
# goes to x. `Tensor(a)` without inputs is a leaf.

# %%
import numpy as np


class Tensor:
    """An array, and pairs (input, vjp) that say how it was computed."""

    __array_ufunc__ = None  # array * Tensor is Tensor.__rmul__

    def __init__(self, data, inputs=()):
        self.data = np.asarray(data, dtype=float)
        self.shape = self.data.shape
        self.inputs = list(inputs)

    def __add__(self, other):
        return add(self, as_tensor(other))

    def __sub__(self, other):
        return subtract(self, as_tensor(other))

    def __rsub__(self, other):
        return subtract(as_tensor(other), self)

    def __mul__(self, other):
        return multiply(self, as_tensor(other))

    def __truediv__(self, other):
        return divide(self, as_tensor(other))

    def __rtruediv__(self, other):
        return divide(as_tensor(other), self)

    def __matmul__(self, other):
        return matmul(self, other)

    def __neg__(self):
        return negative(self)

    __radd__, __rmul__ = __add__, __mul__


def as_tensor(x):
    """x itself, or a leaf with its values"""
    return x if hasattr(x, "inputs") else Tensor(x)


# %% [markdown]
# ## 1. Operations [8]
#
# Four operations are written. Each makes *one* new Tensor, and its vjps compute with Tensors
# (`-g`, `reshape(g, …)`), not with arrays. So a gradient can itself be differentiated, which is
# question 4. Write the others in the same way. A vjp may use the output z.
#
# Here x and y have the same shape. In `matmul`, x is (…, n, k), y is (…, k, m), and `@` treats the
# axes before the last two as a batch.


# %%
def add(x, y):
    """z = x + y"""
    return Tensor(x.data + y.data, [(x, lambda g, z: g), (y, lambda g, z: g)])


def negative(x):
    """z = −x"""
    return Tensor(-x.data, [(x, lambda g, z: -g)])


def reshape(x, shape):
    """z has the elements of x, in a new shape"""
    return Tensor(x.data.reshape(shape), [(x, lambda g, z: reshape(g, x.shape))])


def transpose(x):
    """z is x with its last two axes exchanged"""
    return Tensor(np.swapaxes(x.data, -1, -2), [(x, lambda g, z: transpose(g))])


def subtract(x, y):
    """z = x − y"""
    # BEGIN SOLUTION
    return Tensor(x.data - y.data, [(x, lambda g, z: g), (y, lambda g, z: -g)])
    # END SOLUTION


def multiply(x, y):
    """z = x ⊙ y"""
    # BEGIN SOLUTION
    return Tensor(x.data * y.data, [(x, lambda g, z: g * y), (y, lambda g, z: g * x)])
    # END SOLUTION


def divide(x, y):
    """z = x / y, element by element"""
    # BEGIN SOLUTION
    return Tensor(x.data / y.data, [(x, lambda g, z: g / y), (y, lambda g, z: -g * z / y)])
    # END SOLUTION


def exp(x):
    """z = eˣ"""
    # BEGIN SOLUTION
    return Tensor(np.exp(x.data), [(x, lambda g, z: g * z)])
    # END SOLUTION


def log(x):
    """z = ln x"""
    # BEGIN SOLUTION
    return Tensor(np.log(x.data), [(x, lambda g, z: g / x)])
    # END SOLUTION


def tanh(x):
    """z = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)"""
    # BEGIN SOLUTION
    return Tensor(np.tanh(x.data), [(x, lambda g, z: g * (1 - z * z))])
    # END SOLUTION


def matmul(x, y):
    """z = x y, the product of matrices"""
    # BEGIN SOLUTION
    to_x, to_y = lambda g, z: g @ transpose(y), lambda g, z: transpose(x) @ g
    return Tensor(x.data @ y.data, [(x, to_x), (y, to_y)])
    # END SOLUTION


# %% [markdown]
# ## 2. Sums and broadcasting [6]
#
# `total(x, axes)` sums over the axes, a tuple of numbers, and drops them: a (3, 4, 5) summed over
# axes (0, 2) is (4). Its vjp repeats z̄ along the axes that were summed, to x's shape. With
# `axes=()` nothing is summed.
#
# Broadcasting is the reverse. In x + b with x (3, 4) and b (4), each bⱼ is used three times, so its
# gradient is a sum over three rows. The vjps need not know this: `pull_back` calls `unbroadcast`
# wherever x̄ comes out in a larger shape than x. It sums over the axes that NumPy has put in front,
# and over those where `shape` has length 1 and g has not. Write it with Tensors, too.


# %%
def total(x, axes):
    """z is the sum of x over `axes`, without them"""
    # BEGIN SOLUTION
    kept = np.sum(x.data, axis=axes, keepdims=True)

    def repeat(g, z):
        return reshape(g, kept.shape) * np.ones(x.shape)

    return Tensor(np.squeeze(kept, axis=axes), [(x, repeat)])
    # END SOLUTION


def unbroadcast(g, shape):
    """g, summed over all that broadcasting an array of `shape` to g's shape has repeated"""
    # BEGIN SOLUTION
    extra = len(g.shape) - len(shape)
    axes = [k for k, n in enumerate(g.shape) if k < extra or n != shape[k - extra]]
    return reshape(total(g, tuple(axes)), shape)
    # END SOLUTION


def pull_back(g, z):
    """for each input x of z the pair (x, x̄), from g = z̄, with x̄ in x's shape"""
    for x, vjp in z.inputs:
        gx = as_tensor(vjp(g, z))
        yield x, gx if gx.shape == x.shape else unbroadcast(gx, x.shape)


# %% [markdown]
# ## 3. The backward pass [10]
#
# Start with ȳ = g at the output, and pull it back, node by node. A node that is used several times
# receives a cotangent from each use, and they add up. It may pass on its own only when it has
# received them all. So `ancestors(y)` lists each node once, inputs before the nodes that use them
# (a topological order), and `grad` goes through this list from its end.
#
# Each vjp is called once. A graph may be 5,000 nodes deep, deeper than Python's recursion, so use a
# list as the stack. `xs` may be any Tensors, y among them. Where y does not depend on x,
# the gradient is zeros of x's shape. Cotangents may be shared: don't change one in place.
# Compare nodes by `is` or `id(x)`.


# %%
def ancestors(y):
    """y and all Tensors it was computed from, each once, inputs before the nodes that use them"""
    # BEGIN SOLUTION
    order, seen, stack = [], set(), [(y, False)]
    while stack:
        z, inputs_done = stack.pop()
        if inputs_done:
            order.append(z)
        elif id(z) not in seen:
            seen.add(id(z))
            stack.append((z, True))
            stack.extend((x, False) for x, _ in z.inputs)
    return order
    # END SOLUTION


def grad(y, xs, g):
    """the list of x̄ for each x in xs, Tensors, from g = ȳ"""
    # BEGIN SOLUTION
    cotangents = {id(y): g}
    for z in reversed(ancestors(y)):
        for x, gx in pull_back(cotangents[id(z)], z):
            cotangents[id(x)] = cotangents[id(x)] + gx if id(x) in cotangents else gx
    return [cotangents.get(id(x), Tensor(np.zeros(x.shape))) for x in xs]
    # END SOLUTION


# %% [markdown]
# ## 4. Second derivatives [4]
#
# The Hessian H of a number y has as many elements as x has, squared. Its product with one vector v,
# of x's shape, costs no more than two backward passes: (H v)ᵢ = Σⱼ vⱼ ∂²y/∂xⱼ∂xᵢ. Since your vjps
# compute with Tensors, the gradient of y is a Tensor that remembers how it was computed.


# %%
def hessian_product(y, x, v):
    """H v, a Tensor, where H is the Hessian of the number y with respect to x"""
    # BEGIN SOLUTION
    slope = grad(y, [x], Tensor(1.0))[0]
    return grad(slope, [x], v)[0]
    # END SOLUTION


# %% [markdown]
# ## What the tests call
#
# Tensors stay in your file: the tests call the functions below, with arrays. A program such as
# "x y * exp sum:0,1" is in reverse Polish notation: Σ exp(x ⊙ y). Its variables are x, y, z and w,
# in the order of the arrays. `graph_backward` builds a graph of weighted sums without your
# operations. `picture` draws what a network has learned after 0, 40, 160 and 640 steps.


# %%
def run(program, arrays):
    """the Tensor that a program computes, and its variables"""
    variables = dict(zip("xyzw", map(Tensor, arrays), strict=False))
    binary = {"+": Tensor.__add__, "-": Tensor.__sub__, "*": Tensor.__mul__}
    binary |= {"/": Tensor.__truediv__, "@": Tensor.__matmul__}
    unary = {"exp": lambda x: exp(x), "log": lambda x: log(x), "tanh": lambda x: tanh(x)}
    stack = []
    for token in program.split():
        word, _, axes = token.partition(":")
        if word in variables:
            stack.append(variables[word])
        elif word in binary:
            y = stack.pop()
            stack.append(binary[word](stack.pop(), y))
        elif word in unary:
            stack.append(unary[word](stack.pop()))
        else:
            stack.append(total(stack.pop(), tuple(int(k) for k in axes.split(","))))
    return stack.pop(), list(variables.values())


def forward(*arrays, program):
    """the value of a program"""
    return run(program, arrays)[0].data


def backward(g, *arrays, program):
    """the gradients of a program with respect to its variables, by `grad`"""
    y, xs = run(program, arrays)
    return tuple(gx.data for gx in grad(y, xs, Tensor(g)))


def one_step_back(g, *arrays, program):
    """the gradients of a program that is one operation, by its vjps alone"""
    z, xs = run(program, arrays)
    pairs = list(pull_back(Tensor(g), z))
    if [id(x) for x, _ in pairs] != [id(x) for x in xs]:
        raise ValueError("expected one new Tensor, whose inputs are the arguments, in order")
    return tuple(gx.data for _, gx in pairs)


def unbroadcast_array(g, shape):
    """`unbroadcast` of an array"""
    return unbroadcast(Tensor(g), tuple(shape)).data


def graph_backward(g, edges, weights):
    """for all nodes their gradients, and for all edges how often the vjp was called

    A node k is the sum of weight · node j over its edges (k, j). The last node is y.
    """
    nodes = [Tensor(np.zeros(np.shape(g))) for _ in range(np.max(edges) + 1)]
    calls = np.zeros(len(edges), int)

    def link(e, k, j, weight):
        def vjp(g, z):
            calls[e] += 1
            if calls[e] > 1000:
                raise RuntimeError("one vjp was called 1000 times: is each path followed anew?")
            return g if weight == 1 else Tensor(weight * g.data)

        nodes[k].inputs.append((nodes[j], vjp))

    for e, (k, j) in enumerate(edges):
        link(e, k, j, weights[e])
    return [gx.data for gx in grad(nodes[-1], nodes, Tensor(g))], calls


def hessian_backward(v, *arrays, program):
    """H v for the first variable of a program"""
    y, xs = run(program, arrays)
    return hessian_product(y, xs[0], Tensor(v)).data


def moons(n, rng):
    """n points (n, 2) of two half circles, and on which one each lies: ±1, (n, 1)"""
    side = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    angle = rng.uniform(0, np.pi, (n, 1))
    x = side * np.hstack([np.cos(angle), np.sin(angle)]) - side * [0.5, 0.25]
    return x + 0.1 * rng.normal(size=(n, 2)), side


def predict(x, params):
    """a number in (−1, 1) for each point"""
    w1, b1, w2, b2 = params
    return tanh(tanh(x @ w1 + b1) @ w2 + b2)


def train(seed, steps, n=64):
    """the parameters after `steps` steps of gradient descent on the mean squared error"""
    rng = np.random.default_rng(seed)
    shapes = (2, 16), (16,), (16, 1), (1,)
    params = [Tensor(rng.normal(size=s) / (1 + s[0]) ** 0.5) for s in shapes]
    for _ in range(steps):
        x, side = moons(n, rng)
        error = predict(Tensor(x), params) - side
        loss = total(error * error, (0, 1)) / n
        slopes = grad(loss, params, Tensor(1.0))
        params = [
            Tensor(p.data - 0.3 * slope.data) for p, slope in zip(params, slopes, strict=True)
        ]
    return [p.data for p in params]


def picture(size=96):
    """how the plane is divided after 0, 40, 160 and 640 steps, and points of both moons"""
    axis = np.linspace(-2, 2, size)
    plane = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(-1, 2)
    x, side = moons(120, np.random.default_rng(1))
    columns, rows = ((x * [1, -1] + 2) / 4 * (size - 1)).round().astype(int).T
    columns, rows = columns.clip(0, size - 1), rows.clip(0, size - 1)
    orange, white, blue = np.array([[0.9, 0.5, 0.1], [1, 1, 1], [0.1, 0.4, 0.8]])
    images = []
    for steps in (0, 40, 160, 640):
        p = predict(Tensor(plane), map(Tensor, train(0, steps))).data.reshape(size, size, 1)
        image = white + np.where(p > 0, blue - white, orange - white) * abs(p) * 0.6
        image[rows, columns] = np.where(side > 0, blue, orange) * 0.7
        images.append(image)
    return np.array(images)
