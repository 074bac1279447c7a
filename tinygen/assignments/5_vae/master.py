# Assignment 5: the VAE's bound
# file: vae.py
# uses: numpy, tinygen
# minutes: 120

# %% [markdown]
# # The VAE's bound
#
# A variational autoencoder generates x from a latent z ~ N(0, I) by p(x|z). The integral p(x) = ∫
# p(x|z) p(z) dz has no closed form, so it is trained by a lower bound. For each x, an encoder
# computes a Gaussian q(z|x) = N(μ, diag σ²), and
#
#     log p(x) ≥ ELBO = E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)).
#
# You write the two terms, the bound, and a tighter one. With them you train a network that draws
# digits.
#
# The conventions throughout: N examples, D latent units, P pixels; `mu` is μ and `log_var` is log
# σ², both (N, D). Each log-probability and each KL is a **sum** over the last axis (units or
# pixels), because the log of a product is a sum. Only the bounds take a **mean** over the N
# examples.
#
# All functions take and return Tensors, except `kl_backward`, which you write by hand, in arrays.

# %%
import numpy as np

import tinygen as tg
from tinygen import data, models, nn, optim

# %% [markdown]
# ## 1. The KL divergence [5]
#
# Of one unit, KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²). Units are independent, so their
# KLs add up. Then derive the gradient: `g` is the derivative of a loss with respect to the KL of
# each example, (N). Remember that the variable is l = log σ², not σ.


# %%
def kl(mu, log_var):
    """KL(N(μ, diag σ²) ‖ N(0, I)) of each example, a sum over the last axis: (N)"""
    # BEGIN SOLUTION
    return 0.5 * tg.sum(mu * mu + tg.exp(log_var) - 1 - log_var, axis=-1)
    # END SOLUTION


def kl_backward(g, mu, log_var):
    """μ̄ and the gradient of log σ², both (N, D), from g (N): arrays, by hand"""
    # BEGIN SOLUTION
    g = g[:, None]
    return g * mu, g * (np.exp(log_var) - 1) / 2
    # END SOLUTION


# %% [markdown]
# ## 2. A sample, and its likelihood [6]
#
# Training needs the gradient of a random draw z ~ N(μ, σ²). Draw ε ~ N(0, I) first; then z = μ +
# σ ⊙ ε is a differentiable function of μ and σ. Here ε is an argument.
#
# A pixel x is 1 with probability s(l) = 1 / (1 + e⁻ˡ), where the logit l is the decoder's output.
# Write log p(x|z) = Σ x log s(l) + (1 − x) log(1 − s(l)) so that it is exact for logits of ±1000,
# where s(l) rounds to 0 or 1. `tg.softplus(l)` is log(1 + eˡ), computed safely.


# %%
def reparameterise(mu, log_var, eps):
    """z = μ + σ ⊙ ε, a sample of N(μ, diag σ²)"""
    # BEGIN SOLUTION
    return mu + tg.exp(log_var / 2) * eps
    # END SOLUTION


def log_bernoulli(x, logits):
    """log p(x|z) of pixels x in [0, 1], a sum over the last axis: (N)"""
    # BEGIN SOLUTION
    return tg.sum(x * logits - tg.softplus(logits), axis=-1)
    # END SOLUTION


# %% [markdown]
# ## 3. The ELBO [5]
#
# Estimate E_q[log p(x|z)] by one sample z of each example, and take the KL from question 1. The
# likelihood is an argument: a function of x (N, P) and z (N, D) that returns log p(x|z) for each
# example. To test with, here is one for which log p(x) is known: x = z A + noise. The rows of A
# are orthogonal.

# %%
A = np.array(
    [[0.6, 0.6, 0.6, 0.6, 0.6], [1, 0.5, 0, -0.5, -1], [0.6, -0.3, -0.6, -0.3, 0.6]]
)  # (D, P)
TAU = 0.7


def gaussian(x, z):
    """log N(x; z A, τ² I) for each example: a likelihood"""
    d = x - z @ A
    return -0.5 * tg.sum(d * d / TAU**2 + np.log(2 * np.pi * TAU**2), axis=-1)


def elbo(x, mu, log_var, eps, likelihood):
    """the mean over the batch of log p(x|z) − KL(q(z|x) ‖ p(z)), with z from ε (N, D): a number"""
    # BEGIN SOLUTION
    z = reparameterise(mu, log_var, eps)
    return tg.mean(likelihood(x, z) - kl(mu, log_var))
    # END SOLUTION


# %% [markdown]
# ## 4. The importance-weighted bound [6]
#
# With k samples of z for each x, and ε of shape (k, N, D), the weights w = p(x|z) p(z) / q(z|x)
# have the mean p(x). The log of their average is a tighter bound (Burda et al. 2016):
#
#     ELBO ≤ IWAE_k = E[log 1/k Σᵢ wᵢ] ≤ log p(x).
#
# First compute log w, where log N(z; μ, diag σ²) = −½ Σ (log 2π + log σ² + (z − μ)² / σ²). Then
# the bound: weights such as e⁻²⁰⁰⁰ round to 0, so use `tg.logsumexp(a, axis=...)`, which is log Σ
# eᵃ, safely. μ, σ² and x broadcast against the k samples.


# %%
def log_weights(x, mu, log_var, eps, likelihood):
    """log p(x|z) + log p(z) − log q(z|x) of k samples for each example: (k, N)"""
    # BEGIN SOLUTION
    z = reparameterise(mu, log_var, eps)
    return likelihood(x, z) + 0.5 * tg.sum(eps * eps + log_var - z * z, axis=-1)
    # END SOLUTION


def iwae(x, mu, log_var, eps, likelihood):
    """the mean over the batch of log (1/k Σᵢ wᵢ): a number"""
    # BEGIN SOLUTION
    log_w = log_weights(x, mu, log_var, eps, likelihood)
    return tg.mean(tg.logsumexp(log_w, axis=0) - np.log(len(log_w)))
    # END SOLUTION


# %% [markdown]
# ## 5. A network that draws digits [4]
#
# The encoder computes μ and log σ² from x, the decoder computes logits from z. Write one training
# step, which raises the ELBO of a batch. An optimiser lowers a loss; `adam.params` has all weights
# of both networks, and `adam.step(grads)` moves them, given the list `tg.grad(loss, adam.params)`.
# Once it works, `python -m tinygen.assignments check` draws 36 random codes, decoded.

# %%
HIDDEN, LATENT = 128, 8


def digits(n, rng):
    """n drawn digits, black and white: (n, 784)"""
    return (data.digits(n, rng=rng).images.reshape(n, 784) > 0.5).astype(np.float32)


def networks(rng):
    """an encoder from x to μ and log σ², side by side, and a decoder from z to logits"""
    encoder = models.mlp([784, HIDDEN, 2 * LATENT], rng=rng, init=nn.pytorch_uniform)
    decoder = models.mlp([LATENT, HIDDEN, 784], rng=rng, init=nn.pytorch_uniform)
    return encoder, decoder


def encode(encoder, x):
    """μ and log σ²: (N, D) each"""
    h = encoder(x)
    return h[:, :LATENT], h[:, LATENT:]


def train_step(x, eps, encoder, decoder, adam):
    """one step of Adam that raises the ELBO of the images x"""
    # BEGIN SOLUTION
    mu, log_var = encode(encoder, x)
    bound = elbo(x, mu, log_var, eps, lambda x, z: log_bernoulli(x, decoder(z)))
    adam.step(tg.grad(-bound, adam.params))
    # END SOLUTION


def train(seed, steps=300, batch=100):
    """the weights of the two networks after `steps` steps"""
    rng = np.random.default_rng(seed)
    x = digits(2000, rng)
    encoder, decoder = networks(rng)
    weights = [*encoder.parameters(), *decoder.parameters()]
    adam = optim.Adam(weights, lambda t: 5e-3 * (1 - 0.9 * t / steps))
    for _ in range(steps):
        rows = rng.choice(len(x), batch, replace=False)
        eps = rng.standard_normal((batch, LATENT), np.float32)
        train_step(tg.Tensor(x[rows]), tg.Tensor(eps), encoder, decoder, adam)
    encoder, decoder = ([p.numpy() for p in network.parameters()] for network in (encoder, decoder))
    return {"encoder": encoder, "decoder": decoder}


def picture():
    """36 random codes, decoded after 700 steps"""
    rng = np.random.default_rng(1)
    _, decoder = networks(rng)
    for p, w in zip(decoder.parameters(), train(0, steps=700)["decoder"]):
        p.data = w
    z = rng.standard_normal((36, LATENT), np.float32)
    return tg.sigmoid(decoder(z)).numpy().reshape(36, 28, 28, 1)
