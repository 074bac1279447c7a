"""The workloads `dense_vae` and `small_conv` in HIPS autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as np
from autograd import value_and_grad

Step = Callable[[], Any]
RATE, BETA_1, BETA_2, EPS = 1e-3, 0.9, 0.999, 1e-8


def _layer(rng: Any, *shape: int) -> list[Any]:
    """A weight and a bias."""
    deviation = float(np.prod(shape[:-1])) ** -0.5
    return [deviation * rng.standard_normal(shape, "f4"), np.zeros(shape[-1], "f4")]


def _conv(x: Any, w: Any) -> Any:
    """Nine matrix products, with stride 2: 4 times as fast as autograd.scipy.signal.convolve."""
    _, H, W, _ = x.shape
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "constant")
    return sum(x[:, k : k + H : 2, l : l + W : 2] @ w[k, l] for k in range(3) for l in range(3))


def _training(loss: Callable[[Any], Any], layers: list[Any]) -> tuple[Step, int, None]:
    """A step of Adam on loss(parameters), and the number of parameters."""
    parameters = [p for layer in layers for p in layer]
    gradients = value_and_grad(loss)
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    t = 0

    def step() -> Any:
        nonlocal t
        t += 1
        value, gs = gradients(parameters)
        for p, g, (m, v) in zip(parameters, gs, moments, strict=True):
            m += (1 - BETA_1) * (g - m)
            v += (1 - BETA_2) * (g * g - v)
            p -= RATE / (1 - BETA_1**t) * m / (np.sqrt(v / (1 - BETA_2**t)) + EPS)
        return value

    return step, sum(p.size for p in parameters), None


def dense_vae(batch: int, rng: Any) -> tuple[Step, int, None]:
    x = rng.random((batch, 784), "f4")

    def loss(parameters: Any) -> Any:
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
        h = np.maximum(x @ w1 + b1, 0)
        mu, lv = h @ w2 + b2, h @ w3 + b3
        z = mu + np.exp(0.5 * lv) * rng.standard_normal(mu.shape, "f4")
        logits = np.maximum(z @ w4 + b4, 0) @ w5 + b5
        reconstruction = np.sum(np.logaddexp(logits, 0) - x * logits)
        kl = 0.5 * np.sum(np.exp(lv) + mu * mu - 1 - lv)
        return (reconstruction + kl) / batch

    shapes = [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    return _training(loss, [_layer(rng, *shape) for shape in shapes])


def small_conv(batch: int, rng: Any) -> tuple[Step, int, None]:
    x, labels = rng.random((batch, 28, 28, 1), "f4"), rng.integers(0, 10, batch)

    def loss(parameters: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parameters
        h = np.maximum(_conv(x, w1) + b1, 0)
        h = np.maximum(_conv(h, w2) + b2, 0)
        s = np.reshape(h, (batch, -1)) @ w3 + b3
        s = s - np.max(s, axis=1, keepdims=True)
        return np.mean(np.log(np.sum(np.exp(s), axis=1)) - s[np.arange(batch), labels])

    shapes = [(3, 3, 1, 16), (3, 3, 16, 32), (7 * 7 * 32, 10)]
    return _training(loss, [_layer(rng, *shape) for shape in shapes])


def finish() -> None:
    """Nothing is left to wait for."""
