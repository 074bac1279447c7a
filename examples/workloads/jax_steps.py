"""The workloads `dense_vae` and `small_conv` in JAX; the whole step is one compiled function."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen.autograd import backend

os.environ["NPROC"] = str(backend.threads)  # read when JAX starts

import jax
import jax.numpy as jnp

Step = Callable[[], Any]
RATE, BETA_1, BETA_2, EPS = 1e-3, 0.9, 0.999, 1e-8


def _layer(rng: np.random.Generator, *shape: int) -> list[jax.Array]:
    """A weight and a bias."""
    deviation = float(np.prod(shape[:-1])) ** -0.5
    return [deviation * jnp.array(rng.standard_normal(shape, "f4")), jnp.zeros(shape[-1])]


def _conv(x: jax.Array, w: jax.Array) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (2, 2), [(1, 1)] * 2, dimension_numbers=layout)


def _adam(t: jax.Array, g: jax.Array, p: jax.Array, m: jax.Array, v: jax.Array) -> Any:
    m += (1 - BETA_1) * (g - m)
    v += (1 - BETA_2) * (g * g - v)
    return p - RATE / (1 - BETA_1**t) * m / (jnp.sqrt(v / (1 - BETA_2**t)) + EPS), m, v


def _training(loss: Callable[..., jax.Array], layers: Any, *data: Any) -> tuple[Step, int, None]:
    """A step of Adam on loss(parameters, key, *data), and the number of parameters."""
    moments = [(p, jnp.zeros_like(p), jnp.zeros_like(p)) for layer in layers for p in layer]
    state = (moments, jnp.zeros(()), jax.random.key(0))

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state: Any, *data: jax.Array) -> Any:
        moments, t, key = state
        t, (key, noise) = t + 1, jax.random.split(key)
        value, gs = jax.value_and_grad(loss)([p for p, _, _ in moments], noise, *data)
        moments = [_adam(t, g, *pmv) for g, pmv in zip(gs, moments, strict=True)]
        return value, (moments, t, key)

    def step() -> jax.Array:
        nonlocal state
        value, state = jax.block_until_ready(update(state, *data))
        return value

    return step, sum(p.size for p, _, _ in moments), None


def dense_vae(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    def loss(parameters: Any, key: jax.Array, x: jax.Array) -> jax.Array:
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
        h = jax.nn.relu(x @ w1 + b1)
        mu, lv = h @ w2 + b2, h @ w3 + b3
        z = mu + jnp.exp(0.5 * lv) * jax.random.normal(key, mu.shape)
        logits = jax.nn.relu(z @ w4 + b4) @ w5 + b5
        reconstruction = jnp.sum(jax.nn.softplus(logits) - x * logits)
        kl = 0.5 * jnp.sum(jnp.exp(lv) + mu * mu - 1 - lv)
        return (reconstruction + kl) / batch

    shapes = [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    x = jnp.array(rng.random((batch, 784), "f4"))
    return _training(loss, [_layer(rng, *shape) for shape in shapes], x)


def small_conv(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    def loss(parameters: Any, key: jax.Array, x: jax.Array, labels: jax.Array) -> jax.Array:
        w1, b1, w2, b2, w3, b3 = parameters
        h = jax.nn.relu(_conv(x, w1) + b1)
        h = jax.nn.relu(_conv(h, w2) + b2)
        log_p = jax.nn.log_softmax(h.reshape(batch, -1) @ w3 + b3)
        return -jnp.mean(log_p[jnp.arange(batch), labels])

    shapes = [(3, 3, 1, 16), (3, 3, 16, 32), (7 * 7 * 32, 10)]
    x = jnp.array(rng.random((batch, 28, 28, 1), "f4"))
    labels = jnp.array(rng.integers(0, 10, batch))
    return _training(loss, [_layer(rng, *shape) for shape in shapes], x, labels)


def finish() -> None:
    """Nothing is left to wait for: the step itself waits."""
