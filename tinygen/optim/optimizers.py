"""An optimiser updates parameters by their gradients, so that a loss goes down.

    optimizer = Adam(model.parameters(), lr=1e-3)
    for batch in batches:
        loss = ...
        optimizer.step(grad(loss, optimizer.params))

p is a parameter, g its gradient, t the step, counted from 1; all equations are elementwise.
"""

import abc
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygen import distributed
from tinygen._checks import expect, same_state
from tinygen._names import missing
from tinygen._types import Array
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp
from tinygen.autograd.parallel import in_place, one_blas_thread, workspace
from tinygen.optim.schedules import Schedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NotFinite", "Optimizer", "RMSprop"]
__all__ += ["clip_by_global_norm"]

Params: TypeAlias = Iterable[Tensor] | Mapping[str, Tensor]
Rate: TypeAlias = float | Schedule


class Stateful:
    """Parameters, named by a dict, by themselves or by number; their state; the number of steps"""

    kinds: tuple[str, ...] = ()

    def __init__(self, params: Params) -> None:
        owner = type(self).__name__
        self.params = list(params.values() if isinstance(params, Mapping) else params)
        names = (
            params
            if isinstance(params, Mapping)
            else [getattr(p, "name", None) or "" for p in self.params]
        )
        distinct = "" not in names and len(set(names)) == len(self.params)
        self.names = [n if distinct else str(i) for i, n in enumerate(names)]
        if not self.params or len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(f"{owner}: expected distinct parameters, got {self.names}")
        for name, p in zip(self.names, self.params, strict=True):
            if not (isinstance(p, Tensor) and p.requires_grad) or p._inputs:
                raise ValueError(f"{owner}: `{name}` is not a Tensor made with requires_grad=True")
        self.state = {kind: [xp.zeros_like(p.data) for p in self.params] for kind in self.kinds}
        self.steps = 0

    def check(self, kind: str, arrays: Sequence[Tensor | Array]) -> None:
        """An error unless each array has the shape and dtype of its parameter."""
        for name, p, a in zip(self.names, self.params, arrays, strict=True):
            if (a.shape, a.dtype) != (p.shape, p.dtype):
                other = f"{p.dtype} {p.shape}, its {kind} {a.dtype} {a.shape}"
                raise ValueError(f"{type(self).__name__}: `{name}` is {other}")

    def state_dict(self) -> dict[str, Array]:
        """A copy of all state on the host, by name, for `np.savez(file, **state)`."""
        state = {"steps": np.array(self.steps)}
        for kind, arrays in self.state.items():
            for name, array in zip(self.names, arrays, strict=True):
                state[f"{kind}.{name}"] = np.array(to_numpy(array))
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Load what `state_dict` returned. If anything does not fit, nothing changes."""
        new = {name: np.asarray(state[name]) for name in state}
        same_state(type(self).__name__, self.state_dict(), new)
        self.steps = int(new["steps"])
        for kind in self.state:
            self.state[kind] = [xp.array(new[f"{kind}.{name}"]) for name in self.names]


@in_place
def _penalise(g: Array, p: Array, l1: float, l2: float) -> None:
    g += l1 * xp.sign(p) + l2 * p


@in_place
def _shrink(p: Array, keep: float) -> None:
    p *= keep


class NotFinite(FloatingPointError, ValueError):
    """A gradient, or a loss, was infinite or not a number."""


class Optimizer(Stateful, abc.ABC):
    """The base of all optimisers. `params` is a sequence of Tensors, or a dict of them by name.

    `lr` is the learning rate, or a schedule: a function from the step, counted from 0, to it.
    `l1` and `l2` are λ₁ and λ₂ of a penalty λ₁ Σ|p| + λ₂/2 Σp², whose gradient is added to g.
    `weight_decay` is λ in p ← (1 − lr·λ) p, applied before the update.
    """

    def __init__(
        self, params: Params, lr: Rate, *, l1: float = 0, l2: float = 0, weight_decay: float = 0
    ) -> None:
        super().__init__(params)
        if not callable(lr):
            expect(type(self).__name__, "> 0", lr=lr)
        expect(type(self).__name__, "≥ 0", l1=l1, l2=l2, weight_decay=weight_decay)
        self.lr, self.l1, self.l2, self.weight_decay = lr, float(l1), float(l2), float(weight_decay)

    def __repr__(self) -> str:
        size = sum(p.size for p in self.params)
        return f"{type(self).__name__}({size:,} parameters, lr={self.rate():g}, step {self.steps})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise missing(type(self).__name__, name, self)

    @abc.abstractmethod
    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        """Change p and its state in place. `self.steps` already counts this step."""

    def rate(self) -> float:
        """The learning rate of the next step."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        expect(f"{type(self).__name__}, step {self.steps}", "≥ 0", lr=lr)
        return float(lr)

    def step(self, grads: Iterable[Tensor] | None = None) -> None:
        """Update `params` by `grads`, in the same order; nothing changes if one is not finite.

        Without `grads`, take those that `loss.backward()` left in `.grad`, and clear them.
        """
        gradients, lr = self._checked(self._own() if grads is None else grads), self.rate()
        self.steps += 1
        for p, gradient, *state in zip(self.params, gradients, *self.state.values(), strict=True):
            g = gradient.data
            if self.l1 or self.l2:
                g = workspace("gradient", p.shape, p.dtype)  # the caller's stays as it is
                g[...] = gradient.data
                _penalise(g, p.data, self.l1, self.l2)
            if self.weight_decay:
                _shrink(p.data, 1 - lr * self.weight_decay)
            self._update(lr, p.data, g, *state)
            p.data = p.data  # counts as a change, so that older graphs of p are stale

    def _own(self) -> list[Tensor]:
        """The parameters' `.grad`, taken from them"""
        for name, p in zip(self.names, self.params, strict=True):
            if p.grad is None:
                hint = "call loss.backward() before step(), or step(grad(loss, params))"
                raise ValueError(f"{type(self).__name__}.step: `{name}` has no .grad; {hint}")
        grads = [p.grad for p in self.params]
        for p in self.params:
            p.grad = None
        return grads

    def _checked(self, grads: Iterable[Tensor]) -> list[Tensor]:
        owner = f"{type(self).__name__}.step"
        grads = [as_tensor(g) for g in grads]
        if len(grads) != len(self.params):
            raise ValueError(f"{owner}: expected {len(self.params)} gradients, got {len(grads)}")
        for kind, arrays in {"gradient": grads, **self.state}.items():
            self.check(kind, arrays)
        grads = _over_ranks(grads)
        # sums of squares take one pass, and one wait for a GPU. A large finite g may overflow
        with np.errstate(all="ignore"), one_blas_thread:
            squares = xp.stack([xp.dot(g.data.reshape(-1), g.data.reshape(-1)) for g in grads])
        for i in np.flatnonzero(~np.isfinite(to_numpy(squares))):
            g, name = grads[i].data, self.names[i]
            nans, infs = int(xp.isnan(g).sum()), int(xp.isinf(g).sum())
            if nans + infs:
                raise NotFinite(f"{owner}: the gradient of `{name}` has {nans} nan and {infs} inf")
        return grads


@in_place
def _descend(p: Array, g: Array, lr: float) -> None:
    p -= lr * g


@in_place
def _momentum(p: Array, b: Array, g: Array, lr: float, mu: float) -> None:
    b *= mu
    b += g
    p -= lr * b


@in_place
def _nesterov(p: Array, b: Array, g: Array, lr: float, mu: float) -> None:
    b *= mu
    b += g
    p -= lr * (g + mu * b)


class SGD(Optimizer):
    """p ← p − lr·g;  with momentum μ  b ← μ b + g,  p ← p − lr·b  (Polyak 1964)

    With `nesterov`  b ← μ b + g,  p ← p − lr (g + μ b)  (Nesterov 1983; Sutskever et al. 2013)
    """

    def __init__(
        self, params: Params, lr: Rate, momentum: float = 0.0, nesterov: bool = False, **more: float
    ) -> None:
        self.kinds = ("b",) if momentum else ()
        super().__init__(params, lr, **more)
        expect("SGD", "in [0, 1)", momentum=momentum)
        if nesterov and not momentum:
            raise ValueError("SGD: `nesterov` needs a `momentum` > 0")
        self.momentum, self.nesterov = float(momentum), nesterov

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        if not state:
            _descend(p, g, lr)
        else:
            (_nesterov if self.nesterov else _momentum)(p, *state, g, lr, self.momentum)


@in_place
def _adagrad(p: Array, s: Array, g: Array, lr: float, eps: float) -> None:
    s += g * g
    p -= lr * g / (xp.sqrt(s) + eps)


class Adagrad(Optimizer):
    """s ← s + g²;  p ← p − lr·g / (√s + ε)  (Duchi, Hazan & Singer 2011)"""

    kinds = ("s",)

    def __init__(self, params: Params, lr: Rate = 1e-2, eps: float = 1e-10, **more: float) -> None:
        super().__init__(params, lr, **more)
        expect("Adagrad", "> 0", eps=eps)
        self.eps = float(eps)

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        _adagrad(p, *state, g, lr, self.eps)


@in_place
def _rmsprop(p: Array, v: Array, g: Array, lr: float, alpha: float, eps: float) -> None:
    v *= alpha
    v += (1 - alpha) * (g * g)
    p -= lr * g / (xp.sqrt(v) + eps)


class RMSprop(Optimizer):
    """v ← α v + (1 − α) g²;  p ← p − lr·g / (√v + ε)  (Hinton's lecture 6e, 2012)"""

    kinds = ("v",)

    def __init__(
        self, params: Params, lr: Rate = 1e-2, alpha: float = 0.99, eps: float = 1e-8, **more: float
    ) -> None:
        super().__init__(params, lr, **more)
        expect("RMSprop", "in [0, 1)", alpha=alpha)
        expect("RMSprop", "> 0", eps=eps)
        self.alpha, self.eps = float(alpha), float(eps)

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        _rmsprop(p, *state, g, lr, self.alpha, self.eps)


@in_place
def _adam(
    p: Array, m: Array, v: Array, g: Array, lr: float, beta1: float, beta2: float, eps: float
) -> None:
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    p -= lr * m / (xp.sqrt(v) + eps)


class Adam(Optimizer):
    """m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  p ← p − lr·m̂ / (√v̂ + ε)

    where m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ)  (Kingma & Ba 2015, algorithm 1)
    """

    kinds = ("m", "v")

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **more: float,
    ) -> None:
        super().__init__(params, lr, **more)
        beta1, beta2 = betas
        expect(type(self).__name__, "in [0, 1)", beta1=beta1, beta2=beta2)
        expect(type(self).__name__, "> 0", eps=eps)
        self.beta1, self.beta2, self.eps = float(beta1), float(beta2), float(eps)

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        # lr·m̂ / (√v̂ + ε) with both corrections taken out of the arrays, into lr and ε
        c1, c2 = 1 - self.beta1**self.steps, math.sqrt(1 - self.beta2**self.steps)
        _adam(p, *state, g, lr * c2 / c1, self.beta1, self.beta2, self.eps * c2)


class AdamW(Adam):
    """p ← (1 − lr·λ) p, then Adam's update: Adam with `weight_decay`  (Loshchilov & Hutter 2019)"""

    def __init__(
        self, params: Params, lr: Rate = 1e-3, *, weight_decay: float = 0.01, **more: Any
    ) -> None:
        super().__init__(params, lr, weight_decay=weight_decay, **more)


def _over_ranks(grads: list[Tensor]) -> list[Tensor]:
    """The gradients of the whole batch, if several processes train one model"""
    if distributed.size() == 1:
        return grads
    return [as_tensor(g) for g in distributed.average([g.data for g in grads])]


def clip_by_global_norm(grads: Iterable[Tensor], max_norm: float) -> tuple[list[Tensor], float]:
    """g · min(1, c / ‖g‖), and ‖g‖, where ‖g‖² = Σ g² over all gradients  (Pascanu et al. 2013)

    If the norm is not finite, the gradients are unchanged, and `step` names the one at fault.
    """
    expect("clip_by_global_norm", "> 0", max_norm=max_norm)
    arrays = [g.data for g in _over_ranks([as_tensor(g) for g in grads])]
    with np.errstate(all="ignore"), one_blas_thread:  # float32 would overflow at g = 2·10¹⁹
        squares = [xp.dot(g, g) for a in arrays for g in [a.reshape(-1).astype(np.float64)]]
    norm = math.sqrt(to_numpy(xp.stack(squares)).sum()) if squares else 0.0  # one wait for a GPU
    if max_norm < norm < math.inf:
        arrays = [g * float(max_norm / norm) for g in arrays]
    return [as_tensor(g) for g in arrays], norm
