# Assignment 8: flow matching, guidance, and a measured comparison
# file: flow.py
# uses: numpy, tinygen
# minutes: 120

# %% [markdown]
# # Flow matching
#
# A velocity field v(x, t) carries noise z at time 0 to data x at time 1. You write the loss that
# trains such a field, two methods to follow it, and guidance to a class. Then you measure which of
# the two methods needs fewer calls of the network for the same accuracy.
#
# Points are rows: x, z and v are (N, D). **Times are columns**: t is (N, 1), from 0 (noise) to 1
# (data). Labels y are N integers: the classes 0 and 1, or `ANY` for "no class given".

# %%
import numpy as np

import tinygen as tg
from tinygen import data, models, nn, optim

ANY = 2

# %% [markdown]
# ## 1. A line and its velocity [5]
#
# Join noise z and data x by a line, x_t = (1 − t) z + t x. A point on it moves with the constant
# velocity u = dx_t/dt = x − z. Flow matching trains a network to predict u from x_t and t. The loss
# is the mean of (v − u)² over all N·D elements. v is a Tensor, and the result must be one.


# %%
def line(z, x, t):
    """x_t = (1 − t) z + t x and u = dx_t/dt, both (N, D)"""
    # BEGIN SOLUTION
    return (1 - t) * z + t * x, x - z
    # END SOLUTION


def matching_loss(v, u):
    """the mean of (v − u)² over all elements, a Tensor"""
    # BEGIN SOLUTION
    return tg.mean((v - u) ** 2)
    # END SOLUTION


# %% [markdown]
# ## 2. Two ways to follow a velocity [7]
#
# Follow dx/dt = v(x, t) from z at t = 0 to t = 1 in n steps of length h = 1/n. A step leads from x
# at time t to the new x, at time t + h:
#
# - Euler: x + h k₁, with k₁ = v(x, t).
# - Heun: x + h (k₁ + k₂)/2, with the same k₁, and k₂ = v(x + h k₁, t + h).
#
# `velocity(x, t)` expects t as an (N, 1) array. Two velocities with known solutions are given:
# dx/dt = x carries z to e·z, and dx/dt = 3t² carries z to z + 1.


# %%
def growth(x, t):
    return column(t, x) * 0 + x


def clock(x, t):
    return 3 * column(t, x) ** 2 + 0 * x


def column(t, x):
    if np.shape(t) != (len(x), 1):
        raise ValueError(f"velocity(x, t): t has shape {np.shape(t)}, expected ({len(x)}, 1)")
    return t


def calls_of(method, n):
    """how often the method calls the velocity in n steps"""
    calls = []

    def velocity(x, t):
        calls.append(t)
        return clock(x, t)

    method(velocity, np.zeros((1, 2)), n)
    return len(calls)


def euler(velocity, z, n):
    """x at t = 1 after n steps of Euler's method from z at t = 0"""
    # BEGIN SOLUTION
    x, h = z, 1 / n
    for i in range(n):
        x = x + h * velocity(x, np.full((len(z), 1), i * h))
    return x
    # END SOLUTION


def heun(velocity, z, n):
    """x at t = 1 after n steps of Heun's method from z at t = 0"""
    # BEGIN SOLUTION
    x, h = z, 1 / n
    for i in range(n):
        t = np.full((len(z), 1), i * h)
        k1 = velocity(x, t)
        k2 = velocity(x + h * k1, t + h)
        x = x + h * (k1 + k2) / 2
    return x
    # END SOLUTION


# %% [markdown]
# ## 3. Guidance [6]
#
# A network v(x, t, y) can learn both the classes and the data as a whole: in training, replace each
# label by `ANY` with some probability, independently of the others. Classifier-free guidance with
# weight w then samples along
#
# v(x, t, ANY) + w (v(x, t, y) − v(x, t, ANY)).
#
# So w = 0 ignores the class, w = 1 is the velocity of the class, and w > 1 exaggerates what
# distinguishes this class from the others.
#
# If the data of class k is Gaussian, N(μₖ, s² I), the best possible v is known: `exact_velocity` is
# the mean of x − z over all lines through a point.


# %%
MEANS, S = np.array([[1.5, 0.5], [-1.0, -1.0]]), 0.5


def exact_velocity(x, t, y):
    """E[x − z | x_t, y] for two Gaussians, (N, 2)"""
    C = (1 - column(t, x)) ** 2 + (t * S) ** 2  # the variance of x_t in one class
    off = x[:, None] - t[..., None] * MEANS  # (N, 2 classes, 2)
    log_r = -(off**2).sum(axis=2) / (2 * C)
    r = np.exp(log_r - log_r.max(axis=1, keepdims=True))  # how probable is each class?
    y = np.asarray(y)[:, None]
    r = np.where(y == ANY, r / r.sum(axis=1, keepdims=True), y == np.arange(2))
    slope = ((t * S**2 - (1 - t)) / C)[..., None]
    return (r[..., None] * (MEANS + slope * off)).sum(axis=1)


def to_any(x, t):
    """the exact velocity to both classes together"""
    return exact_velocity(x, t, np.full(len(x), ANY))


def drop_labels(y, probability, rng):
    """a copy of y in which each label is ANY with this probability"""
    # BEGIN SOLUTION
    return np.where(rng.random(len(y)) < probability, ANY, y)
    # END SOLUTION


def guided(velocity, x, t, y, w):
    """the guided velocity, (N, D), from a function velocity(x, t, y)"""
    # BEGIN SOLUTION
    v = velocity(x, t, np.full(len(y), ANY))
    return v + w * (velocity(x, t, y) - v)
    # END SOLUTION


# %% [markdown]
# ## 4. Training [6]
#
# Now the loss of a batch x with labels y. Draw z ~ N(0, I), and t ~ U(0, 1) for each row. Drop
# labels with probability `drop`. Evaluate `network(x_t, t, y)`, and return the matching loss.
#
# `train` trains a small network on two moons with your loss. `check` samples from it with your
# `heun` and `guided`. It draws the data, then the samples for w = 0, 1 and 3; colours are labels.


# %%
class Velocity(nn.Module):
    """a network v(x, t, y), from arrays to a Tensor (N, 2)"""

    def __init__(self, rng):
        self.layers = models.mlp([2 + 6 + 3, 64, 64, 2], tg.silu, rng=rng)

    def forward(self, x, t, y):
        angle = np.pi * column(t, x) * np.array([1, 2, 4])
        inputs = np.concatenate([x, np.sin(angle), np.cos(angle), np.eye(3)[y]], axis=1)
        return self.layers(inputs.astype(np.float32)).astype(np.float64)


def training_loss(network, x, y, rng, drop=0.2):
    """the matching loss of a batch, a Tensor"""
    # BEGIN SOLUTION
    z, t = rng.normal(size=x.shape), rng.random((len(x), 1))
    x_t, u = line(z, x, t)
    return matching_loss(network(x_t, t, drop_labels(y, drop, rng)), u)
    # END SOLUTION


def loss_of(velocity, x, y, rng, drop):
    """the training loss of a function of arrays, a number"""
    return training_loss(lambda *inputs: tg.Tensor(velocity(*inputs)), x, y, rng, drop).item()


def moons(n, rng):
    """two moons, (n, 2), and which of the two each point belongs to"""
    points, labels = data.moons(n, rng=rng)
    return 1.5 * (points - [0.5, 0.25]), labels


def train(seed, steps=800):
    """a network after `steps` steps with your loss"""
    rng = np.random.default_rng(seed)
    network = Velocity(rng)
    adam = optim.Adam(network.parameters(), optim.cosine(1e-2, steps))
    for _ in range(steps):
        adam.step(tg.grad(training_loss(network, *moons(256, rng), rng), adam.params))
    return network


def trained(seed):
    """the parameters of a trained network, as arrays"""
    return [p.numpy() for p in train(seed).parameters()]


# %% [markdown]
# ## 5. A measured comparison [7]
#
# How far are samples a (n, D) from data b (m, D)? The energy distance is
#
# 2 E‖a − b‖ − E‖a − a′‖ − E‖b − b′‖,
#
# twice the mean distance between the sets, minus the mean distance within each. ‖·‖ is the
# Euclidean length, not its square. Write the unbiased estimate: the means within a set are over
# pairs of two different points, i ≠ j. Then two sets from one distribution have distance 0 on
# average, so a single value may be negative.
#
# Which method is better? A step of Heun's method calls the velocity twice. So compare at equal
# numbers of calls: Heun's method gets half the steps. The error is the root mean square over
# points, √(mean of ‖x − exact‖²). If the error is proportional to calls^(−q), the method has
# **order** q, and log error is a straight line in log calls. Fit it by least squares, as
# `np.polyfit` does.


# %%
def gaussian(x, t):
    """the exact velocity to class 0; it carries z to MEANS[0] + S z"""
    return exact_velocity(x, t, np.zeros(len(x), int))


def energy_distance(a, b):
    """2 E‖a − b‖ − E‖a − a′‖ − E‖b − b′‖, unbiased, a number"""

    # BEGIN SOLUTION
    def total(a, b):
        return np.sqrt(((a[:, None] - b) ** 2).sum(axis=2)).sum()

    n, m = len(a), len(b)
    within = total(a, a) / (n * (n - 1)) + total(b, b) / (m * (m - 1))
    return 2 * total(a, b) / (n * m) - within
    # END SOLUTION


def compare(velocity, z, exact, calls):
    """the errors of Euler and of Heun for each number of calls (all even): (len(calls), 2)"""

    # BEGIN SOLUTION
    def error(x):
        return np.sqrt(((x - exact) ** 2).sum(axis=1).mean())

    return np.array(
        [[error(euler(velocity, z, n)), error(heun(velocity, z, n // 2))] for n in calls]
    )
    # END SOLUTION


def order(calls, errors):
    """q, if the errors are about C · calls^(−q)"""
    # BEGIN SOLUTION
    return -np.polyfit(np.log(calls), np.log(errors), 1)[0]
    # END SOLUTION


# %% [markdown]
# The rest is given: points as an image, and the picture that `check` draws.


# %%
def drawn(points, labels):
    """an image (80, 80, 3): where points are, red for label 0, blue for 1, grey for ANY"""
    colours = np.array([[0.0, 0.8, 0.8], [0.8, 0.6, 0.0], [0.6, 0.6, 0.6]])  # what ink absorbs
    image = np.ones((80, 80, 3))
    for label in range(3):
        own = points[labels == label]
        count, *_ = np.histogram2d(-own[:, 1], own[:, 0], 80, [[-2.5, 2.5], [-3, 3]])
        image -= np.minimum(count, 2)[..., None] / 2 * colours[label]
    return np.clip(image, 0, 1)


def picture():
    """the data, and samples with w = 0 (grey), 1 and 3"""
    rng, network = np.random.default_rng(0), train(seed=0)
    x, labels = moons(2000, rng)

    def samples(w):
        def velocity(x, t):
            return guided(lambda *inputs: network(*inputs).numpy(), x, t, labels, w)

        return drawn(
            heun(velocity, rng.normal(size=x.shape), 16), labels if w else 0 * labels + ANY
        )

    return np.stack([drawn(x, labels), samples(0), samples(1), samples(3)])
