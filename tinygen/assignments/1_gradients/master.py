# Assignment 1: gradients by hand
# file: gradients.py
# uses: numpy
# minutes: 90

# %% [markdown]
# # Gradients by hand
#
# A layer computes z = f(x). Its backward pass receives z̄, the derivative of the loss with respect
# to z, and returns x̄, the derivative with respect to x. You write three of them: for a dense layer,
# softmax cross-entropy, and layer normalisation. With them a network learns to tell two moons
# apart.
#
# Throughout, `g` is z̄ and has the shape of z; each gradient has the shape of its input. Rows are
# examples.

# %%
import numpy as np

# %% [markdown]
# ## 1. The dense layer [5]
#
# z = x w + b, with x (N, in), w (in, out), b (out). To derive x̄, w̄ and b̄, write
# zₙⱼ = Σᵢ xₙᵢ wᵢⱼ + bⱼ, and for each input sum over all places where it is used.


# %%
def dense(x, w, b):
    """z = x w + b, (N, out)"""
    return x @ w + b


def dense_backward(g, x, w, b):
    """x̄, w̄, b̄ from g = z̄, (N, out)"""
    # BEGIN SOLUTION
    return g @ w.T, x.T @ g, g.sum(axis=0)
    # END SOLUTION


# %% [markdown]
# ## 2. Softmax cross-entropy [7]
#
# The loss of logits s (N, K) and labels y (N integers, 0 … K − 1) is the mean over the batch of
# −log p(yₙ), with p = softmax(sₙ): pₖ = exp sₖ / Σⱼ exp sⱼ. Write the loss so that logits of ±1000
# give no infinity. Then its gradient: for one example it is p − onehot(y). `g` is a number here.


# %%
def cross_entropy(s, y):
    """mean over n of −log softmax(sₙ)[yₙ], a number"""
    # BEGIN SOLUTION
    shifted = s - s.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(y)), y].mean()
    # END SOLUTION


def cross_entropy_backward(g, s, y):
    """s̄, (N, K), from the number g"""
    # BEGIN SOLUTION
    shifted = s - s.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return g * p / len(y)
    # END SOLUTION


# %% [markdown]
# ## 3. Layer normalisation [8]
#
# Each row of x (N, C) is normalised by itself: z = γ ⊙ (x − μ) / √(σ² + ε) + β. Here μ is the row's
# mean, σ² its variance (the mean of the squared deviations), ε = 10⁻⁵, and γ, β are (C).
#
# μ and σ² depend on x too. With x̂ = (x − μ) / √(σ² + ε) and u = g ⊙ γ, first derive the gradient
# with respect to σ², then that with respect to μ, and add up all paths from x to z.


# %%
EPS = 1e-5


def layer_norm(x, gamma, beta):
    """γ ⊙ (x − μ) / √(σ² + ε) + β, row by row"""
    # BEGIN SOLUTION
    centred = x - x.mean(axis=1, keepdims=True)
    return gamma * centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPS) + beta
    # END SOLUTION


def layer_norm_backward(g, x, gamma, beta):
    """x̄, γ̄, β̄"""
    # BEGIN SOLUTION
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPS)
    x_hat = centred / std
    u = g * gamma
    mean_u, mean_ux = u.mean(axis=1, keepdims=True), (u * x_hat).mean(axis=1, keepdims=True)
    return (u - mean_u - x_hat * mean_ux) / std, (g * x_hat).sum(axis=0), g.sum(axis=0)
    # END SOLUTION


# %% [markdown]
# ## 4. A network that learns [4]
#
# The network is a dense layer, a layer norm, a ReLU and a second dense layer; the loss is the
# cross-entropy. Write one step of gradient descent: run the layers forward, then backward in
# reverse order. Return the loss and the new parameters p − lr · p̄, in the order in which they came.


# %%
def moons(n, rng, turn=0.0):
    """n points (n, 2) of two half circles, turned by an angle, and their labels"""
    y = np.arange(n) % 2
    angle = rng.uniform(0, np.pi, n)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(y, 1, -1)[:, None]
    x += np.where(y[:, None], [-0.5, -0.25], [0.5, 0.25]) + 0.1 * rng.normal(size=(n, 2))
    cos, sin = np.cos(turn), np.sin(turn)
    return x @ np.array([[cos, sin], [-sin, cos]]), y


def start(rng, hidden=16):
    """w1, b1, γ, β, w2, b2"""
    w1, w2 = rng.normal(size=(2, hidden)), rng.normal(size=(hidden, 2)) / np.sqrt(hidden)
    return w1, np.zeros(hidden), np.ones(hidden), np.zeros(hidden), w2, np.zeros(2)


def descent_step(x, y, params, lr):
    """the loss at `params`, and the parameters after one step"""
    w1, b1, gamma, beta, w2, b2 = params
    # BEGIN SOLUTION
    h1 = dense(x, w1, b1)
    h2 = layer_norm(h1, gamma, beta)
    h3 = np.maximum(h2, 0)
    s = dense(h3, w2, b2)
    loss = cross_entropy(s, y)
    g = cross_entropy_backward(1.0, s, y)
    g, gw2, gb2 = dense_backward(g, h3, w2, b2)
    g = g * (h2 > 0)
    g, ggamma, gbeta = layer_norm_backward(g, h1, gamma, beta)
    _, gw1, gb1 = dense_backward(g, x, w1, b1)
    grads = gw1, gb1, ggamma, gbeta, gw2, gb2
    return loss, tuple(p - lr * gp for p, gp in zip(params, grads))
    # END SOLUTION


def train(seed, turn, steps=300, lr=0.5):
    """the parameters after `steps` steps"""
    rng = np.random.default_rng(seed)
    params = start(rng)
    for _ in range(steps):
        _, params = descent_step(*moons(64, rng, turn), params, lr)
    return params
