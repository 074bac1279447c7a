# Assignment 7: diffusion: forward process, loss, DDPM and DDIM
# file: diffusion.py
# uses: numpy, tinygen
# minutes: 120

# %% [markdown]
# # Diffusion
#
# Adding noise to data is easy. A network learns to undo a little of it, and many such steps turn
# noise into new data. You write the noise, the loss, and two samplers: DDPM (Ho et al. 2020) and
# DDIM (Song et al. 2021). At the end, noise flows into a swirl of points.
#
# The conventions throughout:
#
# - Time t runs from 0 (data) to T (noise). `alpha_bar` has T + 1 elements: `alpha_bar[t]` is ᾱ_t.
# - Rows are examples: x_0, x_t and ε are NumPy arrays of shape (N, …), such as points (N, 2) or
#   images (N, H, W, C).
# - A network is a function of two arrays: `network(x_t, t)`, where t has N integers, is the
#   predicted noise, a Tensor of x_t's shape.

# %%
from itertools import pairwise

import numpy as np

import tinygen as tg
from tinygen import data, models, nn, optim

# %% [markdown]
# ## 1. The forward process [5]
#
# Step t scales the data and adds noise: x_t = √α_t x_{t−1} + √β_t ε_t, where α_t = 1 − β_t, and ε_t
# is Gaussian noise of mean 0 and variance 1. β_1, …, β_T are given. Do t steps in one jump:
#
# x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, where ᾱ_t = α_1 α_2 ⋯ α_t and ᾱ_0 = 1.
#
# In `q_sample` each example has its own time: t has N integers from 0 to T.


# %%
def linear(T):
    """β_1, …, β_T, (T,)"""
    return np.linspace(0.1, 20, T) / T


def alpha_bars(beta):
    """ᾱ_0, ᾱ_1, …, ᾱ_T, (T + 1,), from β_1, …, β_T, (T,)"""
    # BEGIN SOLUTION
    return np.append(1.0, np.cumprod(1 - beta))
    # END SOLUTION


def q_sample(x_0, t, eps, alpha_bar):
    """x_t from x_0, (N, …), t, (N,), and ε, (N, …)"""
    # BEGIN SOLUTION
    at_t = alpha_bar[t].reshape(-1, *[1] * (x_0.ndim - 1))
    return np.sqrt(at_t) * x_0 + np.sqrt(1 - at_t) * eps
    # END SOLUTION


# %% [markdown]
# ## 2. Predicting the noise [6]
#
# The network ε_θ sees x_t and t, and predicts ε. The loss is the mean squared error. The mean is
# over all elements of all examples:
#
# L = mean (ε − ε_θ(x_t, t))²
#
# Return it as a Tensor, so that its gradient reaches the weights. You may subtract an array from a
# Tensor; `tg.mean` takes the mean.
#
# From a predicted noise ε̂ follows a predicted example x̂_0: solve the equation of x_t for x_0. In
# `predicted_x_0`, and in all samplers, t is one integer for all rows.


# %%
def loss(network, x_0, t, eps, alpha_bar):
    """mean (ε − ε_θ(x_t, t))², a Tensor without axes"""
    # BEGIN SOLUTION
    return tg.mean((network(q_sample(x_0, t, eps, alpha_bar), t) - eps) ** 2)
    # END SOLUTION


def predicted_x_0(x_t, eps, t, alpha_bar):
    """x̂_0 from x_t and ε̂, (N, …), at the time t ≥ 1"""
    # BEGIN SOLUTION
    return (x_t - np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(alpha_bar[t])
    # END SOLUTION


def linear_loss(w, x_0, t, eps, alpha_bar):
    """your loss for the network ε_θ(x, t) = [x, t/10] w, with w (D + 1, D): used by the tests"""

    def network(x, t):
        return tg.concat([tg.as_tensor(x), tg.as_tensor(t.reshape(-1, 1) / 10)], axis=1) @ w

    return loss(network, x_0, t, eps, alpha_bar)


# %% [markdown]
# ## 3. DDPM [8]
#
# If x_0 were known, the step back from x_t to x_{t−1} would be Gaussian. By Bayes' rule
#
# q(x_{t−1} | x_t, x_0) ∝ q(x_t | x_{t−1}) · q(x_{t−1} | x_0).
#
# As a function of x_{t−1}, the first factor is a Gaussian with mean m₁ = x_t/√α_t and variance
# v₁ = β_t/α_t. The second has mean m₂ = √ᾱ_{t−1} x_0 and variance v₂ = 1 − ᾱ_{t−1}. Here
# α_t = ᾱ_t/ᾱ_{t−1}. The product of two Gaussians is a Gaussian with
#
# mean (v₂ m₁ + v₁ m₂) / (v₁ + v₂) and variance v₁ v₂ / (v₁ + v₂).
#
# This variance is called β̃_t. (The paper allows β_t too. Here it is β̃_t, and β̃_1 = 0: the last step
# adds no noise.) The sampler replaces the unknown x_0 by x̂_0, and adds Gaussian noise z:
#
# x_{t−1} = mean + √β̃_t z.
#
# It starts from noise x_T and takes the steps t = T, T − 1, …, 1. In each of them call
# `rng.standard_normal(x.shape)` once for z, and the given `predict` for ε̂.


# %%
def predict(network, x_t, t):
    """ε̂ as an array, with the one time t for all rows"""
    with tg.no_grad():
        return network(x_t, np.full(len(x_t), t)).numpy()


def posterior(x_0, x_t, t, alpha_bar):
    """the mean, (N, …), and the variance β̃_t, a number, of q(x_{t−1} | x_t, x_0)"""
    # BEGIN SOLUTION
    alpha = alpha_bar[t] / alpha_bar[t - 1]
    m1, v1 = x_t / np.sqrt(alpha), (1 - alpha) / alpha
    m2, v2 = x_0 * np.sqrt(alpha_bar[t - 1]), 1 - alpha_bar[t - 1]
    return (v2 * m1 + v1 * m2) / (v1 + v2), v1 * v2 / (v1 + v2)
    # END SOLUTION


def ddpm_step(x_t, eps, t, z, alpha_bar):
    """x_{t−1} from x_t, ε̂ and z, all (N, …)"""
    # BEGIN SOLUTION
    x_0 = predicted_x_0(x_t, eps, t, alpha_bar)
    mean, variance = posterior(x_0, x_t, t, alpha_bar)
    return mean + np.sqrt(variance) * z
    # END SOLUTION


def ddpm(network, x, alpha_bar, rng):
    """samples, (N, …), from the noise x = x_T"""
    # BEGIN SOLUTION
    for t in range(len(alpha_bar) - 1, 0, -1):
        x = ddpm_step(x, predict(network, x, t), t, rng.standard_normal(x.shape), alpha_bar)
    return x
    # END SOLUTION


# %% [markdown]
# ## 4. DDIM [5]
#
# DDIM adds no noise, and its steps may be long: from t to any s < t. It predicts x̂_0 and ε̂ at t,
# and combines them with the scales of s:
#
# x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s) ε̂.
#
# `times` is a decreasing list, such as [100, 75, 50, 25, 0]. x is at its first time, and each step
# leads to the next one; `pairwise(times)` gives the pairs (t, s).
#
# If the data are Gaussian with mean m and standard deviation s, the network with the least loss has
# a closed form: `optimal`. Try your samplers with it. Do the samples have this mean and deviation?


# %%
def ddim_step(x_t, eps, t, s, alpha_bar):
    """x_s from x_t and ε̂, (N, …)"""
    # BEGIN SOLUTION
    x_0 = predicted_x_0(x_t, eps, t, alpha_bar)
    return np.sqrt(alpha_bar[s]) * x_0 + np.sqrt(1 - alpha_bar[s]) * eps
    # END SOLUTION


def ddim(network, x, alpha_bar, times):
    """x at the last of the times, (N, …), from x at the first"""
    # BEGIN SOLUTION
    for t, s in pairwise(times):
        x = ddim_step(x, predict(network, x, t), t, s, alpha_bar)
    return x
    # END SOLUTION


def optimal(m, s, alpha_bar):
    """the network with the least loss, for data of mean m and standard deviation s"""

    def network(x, t):
        a = alpha_bar[t].reshape(-1, *[1] * (x.ndim - 1))
        return tg.as_tensor(np.sqrt(1 - a) * (x - np.sqrt(a) * m) / (a * s**2 + 1 - a))

    return network


def gaussian_ddpm(x, alpha_bar, m, s, rng):
    """your DDPM samples of such data, from the noise x"""
    return ddpm(optimal(m, s, alpha_bar), x, alpha_bar, rng)


def gaussian_ddim(x, alpha_bar, m, s, times):
    """your DDIM samples of such data, from the noise x"""
    return ddim(optimal(m, s, alpha_bar), x, alpha_bar, times)


# %% [markdown]
# ## 5. Training [6]
#
# A minibatch has n random rows of the data x (a row may occur twice), a time for each row, where
# 1, 2, …, T are equally likely, and Gaussian noise of mean 0 and variance 1. Each minibatch gives
# one step of Adam: `adam.step(tg.grad(value, adam.params))`, where `value` is the loss, a Tensor,
# and `value.item()` its number.
#
# When all is written, `check` also draws `picture.png`: your DDIM carries noise to the swirl.


# %%
def minibatch(x, n, T, rng):
    """x_0, (n, D), t, (n,), and ε, (n, D), from x, (N, D)"""
    # BEGIN SOLUTION
    x_0 = x[rng.integers(0, len(x), n)]
    return x_0, rng.integers(1, T + 1, n), rng.standard_normal(x_0.shape)
    # END SOLUTION


def train(network, x, alpha_bar, steps, rng, n=256):
    """train the network on the data x, with `steps` minibatches of n; return the list of losses"""
    adam = optim.Adam(network.parameters(), optim.cosine(1e-2, steps))
    T = len(alpha_bar) - 1
    # BEGIN SOLUTION
    losses = []
    for _ in range(steps):
        value = loss(network, *minibatch(x, n, T, rng), alpha_bar)
        adam.step(tg.grad(value, adam.params))
        losses.append(value.item())
    return losses
    # END SOLUTION


class Network(nn.Module):
    """ε_θ for points; sines and cosines of place and time help it to learn details"""

    def __init__(self, T, rng, width=128):
        self.T, self.layers = T, models.mlp([2 + 8 + 8] + 3 * [width] + [2], tg.silu, rng=rng)

    def forward(self, x, t):
        angles = [np.pi / 2 * np.reshape(t, (-1, 1)) / self.T * [1, 2, 4, 8], 1.5 * x, 3 * x]
        waves = [f(angle) for angle in angles for f in (np.sin, np.cos)]
        inputs = np.concatenate([x, *waves], axis=1).astype(np.float32)
        return self.layers(tg.Tensor(inputs)).astype(np.float64)


def swirl(n, rng):
    """n points of two spiral arms, (n, 2)"""
    return 2.0 * data.points_2d.swirl(n, turns=1.0, noise=0.04, rng=rng).points


def trained(seed, steps, T=100):
    """a network that you trained, and its ᾱ and losses"""
    rng, alpha_bar = np.random.default_rng(seed), alpha_bars(linear(T))
    network = Network(T, rng)
    return network, alpha_bar, train(network, swirl(5000, rng), alpha_bar, steps, rng)


def experiment(seed, x_t, t, steps=500):
    """the losses, the trained network's ε̂ at x_t and t, and samples from it by DDIM"""
    network, alpha_bar, losses = trained(seed, steps)
    noise = np.random.default_rng(seed).standard_normal((1000, 2))
    return losses, network(x_t, t).numpy(), ddim(network, noise, alpha_bar, range(100, -1, -4))


def picture():
    """points on their way from noise (top left) to the swirl (bottom right), by DDIM"""
    network, alpha_bar, _ = trained(seed=0, steps=1500)
    x, images = np.random.default_rng(0).standard_normal((20_000, 2)), []
    for first, last in [(100, 100), (100, 40), (40, 20), (20, 10), (10, 5), (5, 0)]:
        x = ddim(network, x, alpha_bar, range(first, last - 1, -1 if first < 100 else -4))
        count, *_ = np.histogram2d(-x[:, 1], x[:, 0], bins=96, range=[[-2.5, 2.5]] * 2)
        images.append(1 - np.exp(-count / 6))
    return np.array(images)[..., None]
