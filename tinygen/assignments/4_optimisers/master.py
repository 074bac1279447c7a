# Assignment 4: optimisers
# file: optimisers.py
# uses: numpy
# minutes: 75

# %% [markdown]
# # Optimisers
#
# An optimiser turns gradients into steps. You write the three in daily use, momentum, RMSprop and
# Adam, and what a training loop needs with them: weight decay, clipping and a learning-rate
# schedule. At the end you see their paths through a narrow curved valley.
#
# A step takes the parameters p, their gradient g and a state, and returns the new p and the new
# state. p and g are arrays of one shape, and all equations hold for each element. Return new
# arrays: the arguments stay as they are. The state begins with zeros (`start`).

# %%
import numpy as np


def start(method, p):
    """the state before the first step"""
    first, second = np.zeros((2, *np.shape(p)))
    return first if method in ("momentum", "rmsprop") else (first, second, 0)


# %% [markdown]
# ## 1. Momentum [4]
#
# b is a sum of the gradients in which older ones count less, by a factor μ a step (Polyak 1964):
#
# b ← μ b + g,  p ← p − lr · b
#
# Under a constant gradient, b approaches g / (1 − μ): with μ = 0.9, steps become ten times as long.


# %%
def momentum_step(p, g, b, lr, mu=0.9):
    """p and b after b ← μ b + g,  p ← p − lr · b"""
    # BEGIN SOLUTION
    b = mu * b + g
    return p - lr * b, b
    # END SOLUTION


# %% [markdown]
# ## 2. RMSprop [5]
#
# Each element has its own step length: g is divided by its root mean square over the last steps
# (Hinton, lecture 6e, 2012). A small ε, outside the root, avoids 0/0.
#
# v ← α v + (1 − α) g²,  p ← p − lr · g / (√v + ε)


# %%
def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    """p and v after v ← α v + (1 − α) g²,  p ← p − lr · g / (√v + ε)"""
    # BEGIN SOLUTION
    v = alpha * v + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(v) + eps), v
    # END SOLUTION


# %% [markdown]
# ## 3. Adam, and decoupled weight decay [10]
#
# Adam averages g and g² (Kingma & Ba 2015, algorithm 1). Both averages begin at 0, so at first
# they are too small, by the factors 1 − β₁ᵗ and 1 − β₂ᵗ, with t = 1 at the first step. Dividing by
# these factors is the bias correction. The state is (m, v, t), with t the number of steps so far.
#
# m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
#
# p ← p − lr · m̂ / (√v̂ + ε)
#
# AdamW also shrinks the parameters and keeps this out of the averages: p ← (1 − lr · λ) p, and then
# Adam's step with the same g and lr (Loshchilov & Hutter 2019).


# %%
def adam_step(p, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """p and (m, v, t) after p ← p − lr · m̂ / (√v̂ + ε)"""
    # BEGIN SOLUTION
    m, v, t = state
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    t = t + 1
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), (m, v, t)
    # END SOLUTION


def adamw_step(p, g, state, lr, decay=0.01):
    """p and (m, v, t) after p ← (1 − lr · λ) p and a step of Adam, where λ is `decay`"""
    # BEGIN SOLUTION
    return adam_step((1 - lr * decay) * p, g, state, lr)
    # END SOLUTION


# %% [markdown]
# ## 4. Clipping [5]
#
# One bad batch can throw a network far away. Take the gradients of all parameters, a list of arrays
# of any shapes, as one long vector. If its norm ‖g‖ = √Σ g², the sum being over all elements of all
# arrays, is above c, scale all of them by the same factor to the norm c (Pascanu et al. 2013).
# Otherwise leave them. So their direction is kept.


# %%
def clip(grads, c):
    """the list of all g · min(1, c / ‖g‖), and the number ‖g‖"""
    # BEGIN SOLUTION
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    scale = c / max(norm, c)
    return [g * scale for g in grads], norm
    # END SOLUTION


# %% [markdown]
# ## 5. A learning-rate schedule [5]
#
# The learning rate of step t, counted from 0, rises linearly during W steps of warm-up to the peak
# and then falls along half a cosine (Loshchilov & Hutter 2017), which ends at step T:
#
# - t < W: peak · (t + 1) / (W + 1), so that the first step is not lost
# - W ≤ t ≤ T: final + (peak − final) · (1 + cos(π s)) / 2, where s goes from 0 at W to 1 at T
# - t > T: final


# %%
def rate(t, peak, warm_up, steps, final=0.0):
    """the learning rate of step t, where W is `warm_up` and T is `steps`"""
    # BEGIN SOLUTION
    if t < warm_up:
        return peak * (t + 1) / (warm_up + 1)
    s = min((t - warm_up) / (steps - warm_up), 1)
    return final + (peak - final) * (1 + np.cos(np.pi * s)) / 2
    # END SOLUTION


# %% [markdown]
# ## What the tests call
#
# `trace` takes steps with gradients from a list, `descend` with those of a function. Rosenbrock's
# valley, (1 − x)² + 100 (y − x²)², has its minimum at (1, 1), and a flat curved floor between steep
# walls. `picture` draws 600 steps from (−1.5, 2): momentum, RMSprop and Adam, each with a constant
# rate, and Adam with your schedule. The minimum is white, the end of the path black.


# %%
def take_step(method, *arguments, **options):
    """a step of the method of this name"""
    if method == "momentum":
        return momentum_step(*arguments, **options)
    if method == "rmsprop":
        return rmsprop_step(*arguments, **options)
    if method == "adam":
        return adam_step(*arguments, **options)
    return adamw_step(*arguments, **options)


def trace(method, p, grads, **options):
    """the parameters after each step, (steps, …), with the gradients `grads`"""
    path, state = [], start(method, p)
    for g in grads:
        p, state = take_step(method, np.copy(p), np.copy(g), state, **options)
        path.append(np.copy(p))
    return np.array(path)


def descend(method, p, slope, rates, **options):
    """the parameters before and after each step, (steps + 1, …), with the gradients slope(p)"""
    path, state = [np.copy(p)], start(method, p)
    for lr in rates:
        p, state = take_step(method, np.copy(p), slope(p), state, lr, **options)
        path.append(np.copy(p))
    return np.array(path)


def changed_in_place(method, p, g, lr):
    """which arguments of a step are not as they were before it"""
    p, state = take_step(method, np.copy(p), np.copy(g), start(method, p), lr)
    arguments = {"p": p, "g": g}
    arguments |= (
        dict(zip("mv", state, strict=False))
        if isinstance(state, (tuple, list))
        else {"the state": state}
    )
    before = {name: np.copy(a) for name, a in arguments.items()}
    take_step(method, p, g, state, lr)
    return [name for name, a in arguments.items() if not np.array_equal(a, before[name])]


def valley(p):
    """the slope of Rosenbrock's function at p = (x, y)"""
    x, y = p
    return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


def dots(image, points, colour, radius=0):
    """draw points (n, 2) of the plane [−2, 2] × [−1, 3], as squares"""
    size = len(image)
    for column, row in ((points - [-2, -1]) / 4 * (size - 1)).round().astype(int):
        if 0 <= row < size and 0 <= column < size:
            rows, columns = (slice(max(k - radius, 0), k + radius + 1) for k in (row, column))
            image[rows, columns] = colour


def picture(size=160):
    """the four paths through the valley, whose depth is the brightness; black is where they end"""
    x, y = np.meshgrid(np.linspace(-2, 2, size), np.linspace(-1, 3, size))
    height = np.log(1e-2 + (1 - x) ** 2 + 100 * (y - x**2) ** 2)
    shade = 0.95 - 0.6 * (height - height.min()) / np.ptp(height)
    n = 600
    schedule = [rate(t, 0.5, 20, n) for t in range(n)]
    images = []
    for method, rates in [
        ("momentum", [1e-3] * n),
        ("rmsprop", [0.03] * n),
        ("adam", [0.5] * n),
        ("adam", schedule),
    ]:
        image = np.stack([shade * 0.8, shade * 0.9, shade], axis=-1)
        path = descend(method, np.array([-1.5, 2.0]), valley, rates)
        dots(image, np.linspace(path[:-1], path[1:], 20).reshape(-1, 2), [0.9, 0.3, 0.1])
        dots(image, np.array([[1, 1]]), [1, 1, 1], radius=3)
        dots(image, path[-1:], [0, 0, 0], radius=1)
        images.append(image[::-1])
    return np.array(images)
