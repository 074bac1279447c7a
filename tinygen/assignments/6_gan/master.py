# Assignment 6: the GAN game and a gradient penalty
# file: gan.py
# uses: numpy, tinygen
# minutes: 120

# %% [markdown]
# # The GAN game and a gradient penalty
#
# A generator G turns noise z into an example G(z). A discriminator D gives each example a score:
# high for "real". Let r = D(x) be the scores of real examples and f = D(G(z)) those of generated
# ones, and σ(s) = 1 / (1 + e⁻ˢ), so that σ(D(x)) is the probability of "real" (Goodfellow et al.
# 2014). D maximises
#
#     V = E[log σ(r)] + E[log(1 − σ(f))].
#
# You write the losses with their gradients, the optimal discriminator, and the gradient penalty
# of WGAN-GP, whose training needs second derivatives. At the end a generator learns two moons.
#
# The conventions throughout: each E is a mean over a batch, and every loss is to be *minimised*.
# All functions take and return Tensors, except those named `..._backward` and those of question
# 2: these are written by hand, in arrays.

# %%
import numpy as np

import tinygen as tg
from tinygen import data, optim

# %% [markdown]
# ## 1. The losses, from scores [8]
#
# The discriminator's loss is −V. For the generator there are two: *minimax* minimises E[log(1 −
# σ(f))], whose gradient vanishes where D is sure; the *non-saturating* one is −E[log σ(f)].
#
# Scores of ±1000 must give finite losses. σ rounds there to 0 or 1, but log σ(s) = −softplus(−s)
# is exact, and 1 − σ(s) = σ(−s). `tg.softplus(s)` is log(1 + eˢ). r has N scores, f has M, and N
# may differ from M. In the backward passes `g` is a number, the derivative with respect to the
# loss.


# %%
def sigmoid(s):
    """σ(s) of an array, without overflow"""
    return np.exp(-np.logaddexp(0, -s))


def discriminator_loss(r, f):
    """−E[log σ(r)] − E[log(1 − σ(f))], a number"""
    # BEGIN SOLUTION
    return tg.mean(tg.softplus(-r)) + tg.mean(tg.softplus(f))
    # END SOLUTION


def discriminator_backward(g, r, f):
    """r̄ (N) and f̄ (M): arrays, by hand"""
    # BEGIN SOLUTION
    return -g * sigmoid(-r) / len(r), g * sigmoid(f) / len(f)
    # END SOLUTION


def minimax_loss(f):
    """E[log(1 − σ(f))], a number"""
    # BEGIN SOLUTION
    return -tg.mean(tg.softplus(f))
    # END SOLUTION


def minimax_backward(g, f):
    """f̄ (M): an array, by hand"""
    # BEGIN SOLUTION
    return -g * sigmoid(f) / len(f)
    # END SOLUTION


def generator_loss(f):
    """−E[log σ(f)], a number: the non-saturating loss"""
    # BEGIN SOLUTION
    return tg.mean(tg.softplus(-f))
    # END SOLUTION


def generator_backward(g, f):
    """f̄ (M): an array, by hand"""
    # BEGIN SOLUTION
    return -g * sigmoid(-f) / len(f)
    # END SOLUTION


# %% [markdown]
# ## 2. The optimal discriminator [4]
#
# Let there be K possible examples: real with probabilities p, generated with probabilities q
# (arrays of length K that sum to 1; entries may be 0, but never both). For each k, find the
# probability aₖ = σ(D(k)) that minimises the expected loss −Σₖ pₖ log aₖ + qₖ log(1 − aₖ). Then
# compute the loss at this minimum. It equals log 4 − 2 JS(p, q), where JS(p, q) = ½ KL(p ‖ m) + ½
# KL(q ‖ m) with m = (p + q) / 2, and KL(p ‖ m) = Σ p log(p/m). Here 0 log 0 = 0.


# %%
def optimal_discriminator(p, q):
    """the best probability of "real" for each k: (K), an array"""
    # BEGIN SOLUTION
    return p / (p + q)
    # END SOLUTION


def optimal_loss(p, q):
    """the discriminator's loss where it is optimal, a number"""
    # BEGIN SOLUTION
    a, b = p / (p + q), q / (p + q)
    return -np.sum(p * np.log(np.where(p > 0, a, 1)) + q * np.log(np.where(q > 0, b, 1)))
    # END SOLUTION


# %% [markdown]
# ## 3. The gradient penalty [8]
#
# A Wasserstein discriminator should have a gradient of norm 1 between real and generated examples
# (Gulrajani et al. 2017). So its loss gets the penalty
#
#     E[(‖∇D(x̂)‖ − 1)²],   x̂ = ε x + (1 − ε) x̃,
#
# where x are real and x̃ generated examples, both (N, C). Each row has an ε of its own, from 0 to
# 1, in `eps` (N, 1), and a norm of its own: ‖v‖ = √(Σ v² + 10⁻¹²), where 10⁻¹² keeps the gradient
# of the root finite. `D(x, *weights)` returns the scores, (N, 1).
#
# D sees each row by itself, so the gradient of the *sum* of the scores has ∇D(x̂) of each row in
# its rows. `tg.grad(y, x, create_graph=True)` gives a gradient that can be differentiated again:
# without that, the penalty has no gradient with respect to the weights. To differentiate with
# respect to x̂, make it a new Tensor: `tg.Tensor(x_hat, requires_grad=True)`.


# %%
def linear(x, w):
    """a discriminator to test with: x w"""
    return x @ w


def two_layers(x, w1, b1, w2):
    """another: tanh(x w₁ + b₁) w₂"""
    return tg.tanh(x @ w1 + b1) @ w2


def between(real, fake, eps):
    """x̂ = ε x + (1 − ε) x̃, row by row: (N, C)"""
    # BEGIN SOLUTION
    return eps * real + (1 - eps) * fake
    # END SOLUTION


def gradient_penalty(D, real, fake, eps, *weights):
    """E[(‖∇D(x̂)‖ − 1)²], a number"""
    # BEGIN SOLUTION
    x = tg.Tensor(between(real, fake, eps), requires_grad=True)
    v = tg.grad(tg.sum(D(x, *weights)), x, create_graph=True)
    norm = tg.sqrt(tg.sum(v * v, axis=1) + 1e-12)
    return tg.mean((norm - 1) ** 2)
    # END SOLUTION


# %% [markdown]
# ## 4. Two networks that train each other [6]
#
# In WGAN-GP the discriminator minimises E[D(G(z))] − E[D(x)] + λ E[(‖∇D(x̂)‖ − 1)²], where x̃ =
# G(z), and the generator minimises −E[D(G(z))]. The networks are functions of their weights:
# `G(z, *theta)` and `D(x, *psi)`. Write one step of each. A step moves the weights of one network
# only: `optimizer.step(tg.grad(loss, theta))`, or `psi`. It returns its loss, before the step, as
# `loss.item()`.
#
# The generator's gradient runs backwards through D. But in the discriminator's step the generated
# examples are constants: `tensor.detach()`. `train` alternates five steps of D with one of G.
# Once both steps work, `python -m tinygen.assignments check` draws the generated points (orange)
# on the real ones as training proceeds.

# %%
LAMBDA = 0.3
HIDDEN, LATENT = 32, 2


def G(z, w1, b1, w2, b2, w3, b3):
    """the generator: (N, LATENT) → (N, 2)"""
    return tg.relu(tg.relu(z @ w1 + b1) @ w2 + b2) @ w3 + b3


def D(x, w1, b1, w2, b2, w3):
    """the discriminator: (N, 2) → (N, 1)"""
    return tg.silu(tg.silu(x @ w1 + b1) @ w2 + b2) @ w3


def discriminator_step(real, z, eps, theta, psi, optimizer):
    """one step of the optimizer of psi; return the loss with its penalty"""
    # BEGIN SOLUTION
    fake = G(z, *theta).detach()
    loss = tg.mean(D(fake, *psi)) - tg.mean(D(real, *psi))
    loss = loss + LAMBDA * gradient_penalty(D, real, fake, eps, *psi)
    optimizer.step(tg.grad(loss, psi))
    return loss.item()
    # END SOLUTION


def generator_step(z, theta, psi, optimizer):
    """one step of the optimizer of theta; return the loss"""
    # BEGIN SOLUTION
    loss = -tg.mean(D(G(z, *theta), *psi))
    optimizer.step(tg.grad(loss, theta))
    return loss.item()
    # END SOLUTION


def moons(n, rng):
    """n points of two moons around 0: (n, 2)"""
    return 1.5 * (data.moons(n, rng=rng).points.astype(float) - [0.5, 0.25])


def start(rng):
    """theta and psi, lists of arrays"""

    def layer(i, o):
        return rng.normal(size=(i, o)) * np.sqrt(2 / i), np.zeros(o)

    theta = [*layer(LATENT, HIDDEN), *layer(HIDDEN, HIDDEN), *layer(HIDDEN, 2)]
    psi = [*layer(2, HIDDEN), *layer(HIDDEN, HIDDEN), layer(HIDDEN, 1)[0]]
    return theta, psi


def one_step(which, real, z, eps, theta, psi, lr):
    """for the tests: one step of gradient descent; return the loss and the weights after it"""
    theta, psi = ([tg.Tensor(w, requires_grad=True) for w in weights] for weights in (theta, psi))
    if which == "discriminator":
        loss = discriminator_step(real, z, eps, theta, psi, optim.SGD(psi, lr))
    else:
        loss = generator_step(z, theta, psi, optim.SGD(theta, lr))
    return loss, [w.numpy() for w in theta], [w.numpy() for w in psi]


def train(seed, steps=250, n=128, frames=1):
    """500 generated points at `frames` moments, the last at the end; and psi after training"""
    rng = np.random.default_rng(seed)
    theta, psi = ([tg.Tensor(w, requires_grad=True) for w in weights] for weights in start(rng))
    adam_theta = optim.Adam(theta, lambda t: 5e-3 * (1 - 0.9 * t / steps), (0.5, 0.9))
    adam_psi = optim.Adam(psi, lambda t: 5e-3 * (1 - 0.18 * t / steps), (0.5, 0.9))
    noise, seen = rng.normal(size=(500, LATENT)), []
    for t in range(steps):
        for _ in range(5):
            drawn = moons(n, rng), rng.normal(size=(n, LATENT)), rng.uniform(size=(n, 1))
            discriminator_step(*map(tg.Tensor, drawn), theta, psi, adam_psi)
        generator_step(tg.Tensor(rng.normal(size=(n, LATENT))), theta, psi, adam_theta)
        if (t + 1) * frames % steps < frames:
            seen.append(G(noise, *theta).numpy())
    return {"points": np.stack(seen), "psi": [w.numpy() for w in psi]}


def picture(height=80, width=120):
    """generated points (orange) on real ones (grey), nine times during training"""

    def dots(points):
        pixels = points * [20, -20] + [width / 2, height / 2]
        pixels = np.round(pixels)[:, None] + [[0, 0], [1, 0], [0, 1], [1, 1]]
        x, y = np.clip(pixels, 0, [width - 1, height - 1]).astype(int).reshape(-1, 2).T
        return y, x

    images = np.ones((9, height, width, 3))
    images[(slice(None), *dots(moons(2000, np.random.default_rng(0))))] = 0.8
    for image, points in zip(images, train(0, steps=540, frames=9)["points"]):
        image[dots(points)] = [0.9, 0.4, 0]
    return images
