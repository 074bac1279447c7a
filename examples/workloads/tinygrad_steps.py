"""The workloads `dense_vae` and `small_conv` in tinygrad; TinyJit replays the whole step."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen.autograd import backend

os.environ["NUM_CPU_THREADS"] = str(backend.threads)  # read when tinygrad is imported

from tinygrad import Context, Device, Tensor, TinyJit, nn

Step = Callable[[], Any]


def _training(loss: Callable[[], Tensor], layers: list[Any]) -> tuple[Step, int, None]:
    """A step of Adam on the loss, and the number of parameters."""
    parameters = nn.state.get_parameters(layers)
    optimizer = nn.optim.Adam(parameters, 1e-3)

    @TinyJit
    def step() -> Tensor:
        with Context(TRAINING=1):
            optimizer.zero_grad()
            value = loss().backward()
            return value.realize(*optimizer.schedule_step())

    return step, sum(int(p.numel()) for p in parameters), None


def dense_vae(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    encoder, mean, log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
    hidden, output = nn.Linear(20, 400), nn.Linear(400, 784)
    x = Tensor(rng.random((batch, 784), "f4")).realize()

    def loss() -> Tensor:
        h = encoder(x).relu()
        mu, lv = mean(h), log_var(h)
        z = mu + (0.5 * lv).exp() * Tensor.randn(batch, 20)
        logits = output(hidden(z).relu())
        reconstruction = (logits.softplus() - x * logits).sum()
        kl = 0.5 * (lv.exp() + mu * mu - 1 - lv).sum()
        return (reconstruction + kl) / batch

    return _training(loss, [encoder, mean, log_var, hidden, output])


def small_conv(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    first, second = nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)
    dense = nn.Linear(7 * 7 * 32, 10)
    x = Tensor(rng.random((batch, 1, 28, 28), "f4")).realize()
    labels = Tensor(rng.integers(0, 10, batch)).realize()

    def loss() -> Tensor:
        h = second(first(x).relu()).relu()
        return dense(h.flatten(1)).sparse_categorical_crossentropy(labels)

    return _training(loss, [first, second, dense])


def finish() -> None:
    Device[Device.DEFAULT].synchronize()
