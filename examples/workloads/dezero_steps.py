"""The workloads `dense_vae` and `small_conv` in DeZero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

if not hasattr(np, "int"):  # DeZero 0.0.13 uses this alias, which NumPy 1.24 removed
    np.int = int

import dezero.functions as F
import dezero.layers as L
from dezero import Layer, Variable, core, optimizers

# DeZero makes a float64 array of a Python number; with NumPy 2, the results would be float64 too
_as_array = core.as_array
core.as_array = lambda x, *module: np.array(x, "f4") if np.isscalar(x) else _as_array(x, *module)

Step = Callable[[], Any]


def _training(loss: Callable[[], Variable], layers: list[Layer]) -> tuple[Step, int, None]:
    """A step of Adam on the loss, and the number of parameters."""
    net = Layer()
    for i, layer in enumerate(layers):
        setattr(net, f"layer_{i}", layer)
    for p in net.params():
        p.data = p.data.astype("f4")
    optimizer = optimizers.Adam(1e-3).setup(net)

    def step() -> Variable:
        net.cleargrads()
        value = loss()
        value.backward()
        optimizer.update()
        return value

    return step, sum(p.size for p in net.params()), None


def dense_vae(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    encoder, hidden, output = (
        L.Linear(o, in_size=i) for i, o in ((784, 400), (20, 400), (400, 784))
    )
    mean, log_var = L.Linear(20, in_size=400), L.Linear(20, in_size=400)
    x = Variable(rng.random((batch, 784), "f4"))

    def loss() -> Variable:
        h = F.relu(encoder(x))
        mu, lv = mean(h), log_var(h)
        z = mu + F.exp(0.5 * lv) * rng.standard_normal((batch, 20), "f4")
        logits = output(F.relu(hidden(z)))
        reconstruction = F.sum(F.log(1 + F.exp(logits)) - x * logits)
        kl = 0.5 * F.sum(F.exp(lv) + mu * mu - 1 - lv)
        return (reconstruction + kl) / batch

    return _training(loss, [encoder, mean, log_var, hidden, output])


def small_conv(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    first = L.Conv2d(16, 3, stride=2, pad=1, in_channels=1)
    second = L.Conv2d(32, 3, stride=2, pad=1, in_channels=16)
    dense = L.Linear(10, in_size=7 * 7 * 32)
    x = Variable(rng.random((batch, 1, 28, 28), "f4"))
    labels = rng.integers(0, 10, batch, np.uint8)  # with int64 the gradients would be float64

    def loss() -> Variable:
        h = F.relu(second(F.relu(first(x))))
        return F.softmax_cross_entropy(dense(F.reshape(h, (batch, -1))), labels)

    return _training(loss, [first, second, dense])


def finish() -> None:
    """Nothing is left to wait for."""
