r"""Flow matching: a velocity field that carries noise to data, learnt from lines between them.

A straight line joins noise x_0 ~ N(0, I) at time 0 to data x_1 at time 1,

    x_t = (1 − t) x_0 + t x_1,    with velocity x_1 − x_0.

Lines cross; by least squares a network learns the mean velocity of the lines through a point,
v(x, t) = E[x_1 − x_0 | x_t = x]. Points that follow this field from x_0 have the distribution of
x_t at each t: at t = 1 that of the data. (Lipman et al. 2023, theorems 1 and 2; Liu et al. 2023)

A network is a function v(x, t), or v(x, t, classes), of Tensors: x (N, …), times t (N,) in [0, 1].
Reading order: the losses; `train`; samples and densities; reflow.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from tinygen._batch import as_rows, drop_labels, part, slices, with_labels
from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng, Shape
from tinygen.autograd import Tensor, as_tensor, grad, mean, no_grad, reshape, to_numpy, xp
from tinygen.flow import ode
from tinygen.flow.optimal_transport import optimal_pairs
from tinygen.nn import Module, evaluating
from tinygen.optim import EMA, Optimizer

__all__ = ["UnitTime", "drop_labels", "flow_loss", "log_likelihood", "matching_loss", "reflow_loss"]
__all__ += ["reflow_pairs", "sample", "straightness", "train", "transport", "velocity"]

Network: TypeAlias = Callable[..., Any]


class UnitTime(Module):
    """A network that expects times from 0 to `scale`, wrapped to take times from 0 to 1."""

    def __init__(self, network: Network, scale: float = 1000.0) -> None:
        expect("UnitTime", "> 0", scale=scale)
        self.network, self.scale = network, scale

    def forward(self, x: Tensor, t: Tensor, *classes: Any) -> Any:
        return self.network(x, t * self.scale, *classes)


def _velocity(network: Network, x: Tensor, t: Tensor, classes: Any) -> Tensor:
    v = as_tensor(network(x, t) if classes is None else network(x, t, classes))
    if v.shape != x.shape:  # broadcasting would give a wrong loss silently
        raise ValueError(f"flow: expected the network to return {x.shape}, got {v.shape}")
    return v


def matching_loss(
    network: Network, x_0: ArrayLike, x_1: ArrayLike, t: ArrayLike, classes: Any = None
) -> Tensor:
    """‖v(x_t, t) − (x_1 − x_0)‖², x_t = (1 − t) x_0 + t x_1: the mean over all elements

    (Liu et al. 2023, eq. 1; Lipman et al. 2023, eq. 23.) Its minimum is not 0 but the variance of
    the velocities of the lines through a point.
    """
    x_0, x_1, t = as_rows(x_0), as_rows(x_1), as_rows(t)
    if x_0.shape != x_1.shape or t.shape != x_1.shape[:1]:
        shapes = f"{x_0.shape}, {x_1.shape} and {t.shape}"
        raise ValueError(f"matching_loss: expected `x_0`, `x_1` (N, …) and `t` (N,), got {shapes}")
    along = reshape(t, (-1,) + (1,) * (x_1.ndim - 1))  # (N, 1, …)
    x_t = (1 - along) * x_0 + along * x_1
    difference = _velocity(network, x_t, t, classes) - (x_1 - x_0)
    return mean(difference * difference)


def flow_loss(
    network: Network,
    x_1: ArrayLike,
    classes: Any = None,
    *,
    rng: Rng,
    minibatch_ot: bool = False,
    null: int | None = None,
    drop: float = 0.1,
) -> Tensor:
    """The matching loss of x_1 with x_0 ~ N(0, I) and t ~ U(0, 1)

    `minibatch_ot` pairs noise with nearby data: see `optimal_pairs`. If the network has a label
    `null` for "any class", it replaces labels with probability `drop`.
    """
    x_1 = as_rows(x_1)
    noise = generator("flow_loss", rng).standard_normal(x_1.shape, np.float32)
    noise = optimal_pairs(noise, x_1, classes) if minibatch_ot else noise
    t = rng.random(len(x_1), np.float32)
    if null is not None and classes is not None:
        classes = drop_labels(classes, null, drop, rng=rng)
    x_0, t = (xp.asarray(sample, dtype=x_1.dtype) for sample in (noise, t))
    return matching_loss(network, x_0, x_1, t, classes)


def train(
    network: Network,
    batches: Iterable[Any],
    optimizer: Optimizer,
    *,
    rng: Rng,
    ema: EMA | None = None,
    loss: Callable[..., Tensor] = flow_loss,
) -> Iterator[dict[str, Tensor]]:
    """One gradient step per batch, and an update of the averaged parameters; yields the loss

    Batches are x_1, or (x_1, classes). For another `loss` pass `reflow_loss`, or a `partial` of
    `flow_loss` with `minibatch_ot=True` or with `null=10`. Sample with `ema.applied()`.
    """
    for batch in batches:
        x, classes = with_labels(batch)
        value = loss(network, x, classes, rng=rng)
        optimizer.step(grad(value, optimizer.params))
        if ema is not None:
            ema.update()
        yield {"loss": value}


def velocity(network: Network, classes: Any = None) -> Callable[[Array, float], Array]:
    """The network as a function f(x, t) of an array and a float, for the solvers of `ode`"""
    field = _field(network, classes)

    def f(x: Array, t: float) -> Array:
        with _evaluating(network):
            return field(as_tensor(x), t).data

    return f


def _field(network: Network, classes: Any) -> Callable[[Tensor, float], Tensor]:
    labels = None if classes is None else as_rows(classes)
    return lambda x, t: _velocity(network, x, as_tensor(xp.full(len(x), t, dtype=x.dtype)), labels)


def _evaluating(network: Network) -> contextlib.AbstractContextManager[None]:
    return evaluating(network) if isinstance(network, Module) else no_grad()


def transport(
    network: Network,
    x: ArrayLike,
    classes: Any = None,
    *,
    times: Iterable[float] = (0.0, 1.0),
    step: ode.Step | None = None,
    size: int = 500,
) -> Array:
    """Where the flow takes each row of x: from noise to data, or back with decreasing `times`

    The default step is `ode.Adaptive()`; `size` rows are computed at a time.
    """
    times, step = list(times), step or ode.Adaptive()
    parts = _parts("transport", x, classes, size)
    ends = [to_numpy(ode.solve(velocity(network, y), rows, times, step)) for rows, y in parts]
    return np.concatenate(ends)


def sample(
    network: Network,
    shape: Shape,
    classes: Any = None,
    *,
    rng: Rng,
    steps: int = 50,
    step: ode.Step = ode.heun,
    size: int = 500,
) -> Array:
    """New data of `shape` (N, …), float32: x_0 ~ N(0, I), moved to time 1 in equal steps"""
    whole("sample", 1, steps=steps)
    noise = generator("sample", rng).standard_normal(shape, np.float32)
    times = np.linspace(0, 1, steps + 1)
    return transport(network, noise, classes, times=times, step=step, size=size)


def log_likelihood(
    network: Network, x: ArrayLike, classes: Any = None, *, size: int = 500, **options: Any
) -> Array:
    """log p(x) of each row, in nats, by following the flow back: see `ode.log_likelihood`

    Options are `times`, `step`, and `probes` with `rng`. p is a density: dequantise grey values
    first, by adding noise as wide as one level.
    """
    parts = _parts("log_likelihood", x, classes, size)
    with _evaluating(network):
        return np.concatenate(
            [ode.log_likelihood(_field(network, y), rows, **options) for rows, y in parts]
        )


def _parts(owner: str, x: Any, classes: Any, size: int) -> Iterator[tuple[Array, Any]]:
    x, classes = as_rows(x).data, None if classes is None else as_rows(classes).data
    if classes is not None and classes.shape[:1] != x.shape[:1]:
        raise ValueError(f"{owner}: expected `classes` ({len(x)},), got {classes.shape}")
    for i in slices(owner, x, size):
        yield x[i], part(classes, i)


def reflow_pairs(network: Network, x_0: ArrayLike, classes: Any = None, **options: Any) -> Array:
    """Noise and where the flow takes it, (N, 2, …), to train another network on

    Lines between these pairs cross less than those between random pairs, so `reflow_loss` learns a
    straighter flow, which needs fewer steps (algorithm 1). The options are those of `transport`.
    """
    x_1 = transport(network, x_0, classes, **options)
    return np.stack([to_numpy(as_rows(x_0).data), x_1], axis=1)


def reflow_loss(network: Network, pairs: ArrayLike, classes: Any = None, *, rng: Rng) -> Tensor:
    """The matching loss of pairs (N, 2, …), x_0 and x_1, with t ~ U(0, 1)"""
    pairs = as_rows(pairs)
    if pairs.ndim < 3 or pairs.shape[1] != 2:
        raise ValueError(f"reflow_loss: expected `pairs` (N, 2, …), got {pairs.shape}")
    t = xp.asarray(generator("reflow_loss", rng).random(len(pairs), np.float32), dtype=pairs.dtype)
    return matching_loss(network, pairs[:, 0], pairs[:, 1], t, classes)


def straightness(
    network: Network, x_0: ArrayLike, classes: Any = None, *, steps: int = 100
) -> float:
    """∫ E‖(x_1 − x_0) − v(x_t, t)‖² dt along the flow's own paths: 0 if one step is enough

    (S of Liu et al. 2023, section 2, but averaged over elements too; paths by Heun's method.)
    """
    whole("straightness", 1, steps=steps)
    f, times = velocity(network, classes), np.linspace(0, 1, steps + 1).tolist()
    states = list(ode.path(f, as_rows(x_0).data, times))
    line = states[-1] - states[0]
    squares = [float(((line - f(x, t)) ** 2).mean()) for x, t in zip(states, times, strict=True)]
    return (math.fsum(squares) - (squares[0] + squares[-1]) / 2) / steps  # trapezoidal rule
