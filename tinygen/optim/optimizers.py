"""An optimiser turns gradients into steps: it changes parameters so that a loss goes down.

    optimizer = Adam(model.parameters(), lr=1e-3)
    for batch in batches:
        loss = ...
        optimizer.step(grad(loss, optimizer.params))

p is a parameter, g its gradient, t the step, from 1 in the equations; products, squares and roots
are taken entry by entry. Each update is a formula that changes p and its state in place.

Reading order: the updates, from `_descend` on, each above the class that keeps its state; then
`Optimizer.step`; `Stateful`, which keeps and saves the state. clipping.py comes before a step,
averaging.py after it.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tinygen._checks import number
from tinygen._types import Array
from tinygen.autograd import Tensor, to_numpy, xp
from tinygen.autograd.parallel import in_place, one_blas_thread, workspace
from tinygen.optim.schedules import Schedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NotFinite", "Optimizer", "RMSprop"]

Params: TypeAlias = Iterable[Tensor] | Mapping[str, Tensor]


class Stateful:
    """Parameters, arrays that are kept beside each of them, and how many steps there have been."""

    def __init__(self, params: Params, *kinds: str) -> None:
        self.params, self._called, self._keys = _named(type(self).__name__, params)
        self.steps = 0
        self.state = {kind: [xp.zeros_like(p.data) for p in self.params] for kind in kinds}

    def check_unchanged(self) -> None:
        """A parameter of another shape or dtype than its state's would be updated wrongly."""
        owner = type(self).__name__
        for kind, arrays in self.state.items():
            for called, p, array in zip(self._called, self.params, arrays, strict=True):
                if not alike(p, array):
                    raise ValueError(
                        f"{owner}: {called} has become {kind_of(p)}, its `{kind}` is "
                        f"{kind_of(array)}; make a new {owner}"
                    )

    def state_dict(self) -> dict[str, Array]:
        """A copy of all state on the host, by name: fit for `np.savez(file, **state)`."""
        state = {"steps": np.array(self.steps)}
        for kind, arrays in self.state.items():
            for key, array in zip(self._keys, arrays, strict=True):
                state[f"{kind}.{key}"] = np.array(to_numpy(array))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over all the state that `state_dict` gave. If anything does not fit, nothing is."""
        ours = self.state_dict()
        new = {name: np.asarray(state[name]) for name in state}
        problems = [f"missing: {name}" for name in ours if name not in new]
        problems += [f"unexpected: {name}" for name in new if name not in ours]
        problems += [
            f"{name}: expected {kind_of(ours[name])}, got {kind_of(each)}"
            for name, each in new.items()
            if name in ours and not alike(each, ours[name])
        ]
        if problems:
            raise ValueError(
                f"load_state_dict: the state does not fit {type(self).__name__}\n  "
                + "\n  ".join(problems)
            )
        self.steps = int(new["steps"])
        self.state = {
            kind: [xp.array(new[f"{kind}.{key}"]) for key in self._keys] for kind in self.state
        }


def alike(x: Any, y: Any) -> bool:
    return bool(x.shape == y.shape and x.dtype == y.dtype)


def kind_of(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}"


def _named(owner: str, params: Params) -> tuple[list[Tensor], list[str], list[str]]:
    """The parameters, what errors call them, and what checkpoints do."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(
            f"{owner}: expected a sequence or dict of Tensors, got {type(params).__name__}"
        )
    if isinstance(params, Mapping):
        tensors, names = list(params.values()), list(params)
    else:
        tensors = list(params)
        names = [getattr(p, "name", None) or "" for p in tensors]
    if not tensors:
        raise ValueError(f"{owner}: expected parameters, got none")

    called: dict[int, str] = {}
    for i, (p, name) in enumerate(zip(tensors, names, strict=True)):
        if not isinstance(p, Tensor):
            raise TypeError(
                f"{owner}: expected Tensors, but parameter {name or i} is of type "
                f"{type(p).__name__}"
            )
        this = f"`{name}`" if name else f"parameter {i} of shape {p.shape}"
        if not p.requires_grad:
            raise ValueError(f"{owner}: {this} does not require gradients")
        if id(p) in called:
            raise ValueError(f"{owner}: {this} is the same Tensor as {called[id(p)]}")
        called[id(p)] = this
    if "" in names or len(set(names)) < len(names):
        names = [str(i) for i in range(len(names))]
    return tensors, list(called.values()), names


# --- what all optimisers share --------------------------------------------------------------------


@in_place
def _penalise(g: Array, p: Array, l1: float, l2: float) -> None:
    g += l1 * xp.sign(p) + l2 * p


@in_place
def _shrink(p: Array, keep: float) -> None:
    p *= keep


def gradients_of(owner: str, grads: Iterable[Tensor]) -> list[Tensor]:
    if isinstance(grads, (Tensor, Mapping)) or not isinstance(grads, Iterable):
        raise TypeError(f"{owner}: expected a sequence of gradients, got {type(grads).__name__}")
    listed = list(grads)
    for i, g in enumerate(listed):
        if not isinstance(g, Tensor):
            raise TypeError(
                f"{owner}: expected gradient {i} to be a Tensor, got {type(g).__name__}"
            )
    return listed


class NotFinite(FloatingPointError, ValueError):
    """A gradient, or a loss, was infinite or not a number."""


class Optimizer(Stateful, abc.ABC):
    """What steps down a loss. `params` is a sequence of Tensors, or a dict of them by name.

    `lr` is the learning rate, or a schedule: a function from the step, counted from 0, to it.
    `l1` and `l2` are λ₁ and λ₂ of penalties λ₁ Σ|p| + λ₂/2 Σp², whose gradient is added to g.
    `weight_decay` is λ of p ← (1 − lr·λ) p, done before the update and apart from g.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Schedule,
        *kinds: str,
        l1: float = 0.0,
        l2: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, *kinds)
        self.lr = lr if callable(lr) else self._number("`lr` > 0", lr, lambda x: x > 0)
        self.l1 = self._number("`l1` ≥ 0", l1, lambda x: x >= 0)
        self.l2 = self._number("`l2` ≥ 0", l2, lambda x: x >= 0)
        self.weight_decay = self._number("`weight_decay` ≥ 0", weight_decay, lambda x: x >= 0)

    def _number(self, condition: str, value: Any, holds: Callable[[float], bool]) -> float:
        return number(f"{type(self).__name__}: expected {condition}", value, holds)

    @abc.abstractmethod
    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        """Change p and its state in place. `self.steps` counts this step already."""

    def rate(self) -> float:
        """The learning rate of the next step."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        return self._number(f"`lr` ≥ 0 at step {self.steps}", lr, lambda x: x >= 0)

    def step(self, grads: Iterable[Tensor]) -> None:
        """Update all parameters, by gradients in the order of `params`.

        If one does not fit its parameter, or is not finite throughout, nothing is changed.
        """
        grads, lr = self._checked(grads), self.rate()
        self.steps += 1
        for p, g, *state in zip(self.params, grads, *self.state.values(), strict=True):
            slope = g.data
            if self.l1 or self.l2:
                slope = workspace("slope", p.shape, p.dtype)  # g belongs to the caller
                slope[...] = g.data
                _penalise(slope, p.data, self.l1, self.l2)
            if self.weight_decay:
                _shrink(p.data, 1 - lr * self.weight_decay)
            self._update(lr, p.data, slope, *state)
            p.data = p.data  # counts as a change: a graph that p was used in is stale

    def _checked(self, grads: Iterable[Tensor]) -> list[Tensor]:
        owner = f"{type(self).__name__}.step"
        grads = gradients_of(owner, grads)
        if len(grads) != len(self.params):
            raise ValueError(
                f"{owner}: expected {len(self.params)} gradients, one for each "
                f"parameter, got {len(grads)}"
            )
        self.check_unchanged()
        for called, p, g in zip(self._called, self.params, grads, strict=True):
            if not alike(g, p):
                raise ValueError(
                    f"{owner}: expected the gradient of {called} to be {kind_of(p)}, "
                    f"got {kind_of(g)}"
                )
        # sums of squares take one pass, and wait for a GPU once. A large finite g may overflow
        with np.errstate(all="ignore"), one_blas_thread:
            squares = xp.stack([xp.dot(g.data.reshape(-1), g.data.reshape(-1)) for g in grads])
        doubtful = np.flatnonzero(~np.isfinite(to_numpy(squares)))
        bad = [i for i in doubtful if not xp.isfinite(grads[i].data).all()]
        if bad:
            g = grads[bad[0]].data
            others = f" ({len(bad)} gradients are like that)" if len(bad) > 1 else ""
            raise NotFinite(
                f"{owner}: the gradient of {self._called[bad[0]]} has "
                f"{int(xp.isnan(g).sum())} nan and {int(xp.isinf(g).sum())} inf in "
                f"{g.size} entries{others}; nothing was changed"
            )
        return grads


# --- the optimisers: an update, and the class that keeps its state --------------------------------


@in_place
def _descend(p: Array, g: Array, lr: float) -> None:
    p -= lr * g


@in_place
def _roll(p: Array, b: Array, g: Array, lr: float, mu: float) -> None:
    b *= mu
    b += g
    p -= lr * b


@in_place
def _roll_ahead(p: Array, b: Array, g: Array, lr: float, mu: float) -> None:
    b *= mu
    b += g
    p -= lr * (g + mu * b)


class SGD(Optimizer):
    """p ← p − lr·g;  with momentum μ  b ← μ b + g,  p ← p − lr·b  (Polyak 1964)

    With `nesterov`  b ← μ b + g,  p ← p − lr (g + μ b)  (Nesterov 1983; Sutskever et al. 2013)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Schedule,
        momentum: float = 0.0,
        nesterov: bool = False,
        **penalties: float,
    ) -> None:
        super().__init__(params, lr, *(["b"] if momentum else []), **penalties)
        self.momentum = self._number("0 ≤ `momentum` < 1", momentum, lambda x: 0 <= x < 1)
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ValueError("SGD: `nesterov` needs a `momentum` > 0")

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        if not state:
            _descend(p, g, lr)
        else:
            formula = _roll_ahead if self.nesterov else _roll
            formula(p, *state, g, lr, self.momentum)


@in_place
def _adagrad(p: Array, s: Array, g: Array, lr: float, eps: float) -> None:
    s += g * g
    p -= lr * g / (xp.sqrt(s) + eps)


class Adagrad(Optimizer):
    """s ← s + g²;  p ← p − lr·g / (√s + ε)  (Duchi, Hazan & Singer 2011)"""

    def __init__(
        self, params: Params, lr: float | Schedule = 1e-2, eps: float = 1e-10, **penalties: float
    ) -> None:
        super().__init__(params, lr, "s", **penalties)
        self.eps = self._number("`eps` > 0", eps, lambda x: x > 0)

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        _adagrad(p, *state, g, lr, self.eps)


@in_place
def _rmsprop(p: Array, v: Array, g: Array, lr: float, alpha: float, eps: float) -> None:
    v *= alpha
    v += (1 - alpha) * (g * g)
    p -= lr * g / (xp.sqrt(v) + eps)


class RMSprop(Optimizer):
    """v ← α v + (1 − α) g²;  p ← p − lr·g / (√v + ε)  (Hinton's lecture 6e, 2012)"""

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        **penalties: float,
    ) -> None:
        super().__init__(params, lr, "v", **penalties)
        self.alpha = self._number("0 ≤ `alpha` < 1", alpha, lambda x: 0 <= x < 1)
        self.eps = self._number("`eps` > 0", eps, lambda x: x > 0)

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

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **penalties: float,
    ) -> None:
        super().__init__(params, lr, "m", "v", **penalties)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{type(self).__name__}: expected `betas` (β₁, β₂), got {betas!r}")
        self.beta1 = self._number("0 ≤ β₁ < 1 in `betas`", betas[0], lambda x: 0 <= x < 1)
        self.beta2 = self._number("0 ≤ β₂ < 1 in `betas`", betas[1], lambda x: 0 <= x < 1)
        self.eps = self._number("`eps` > 0", eps, lambda x: x > 0)

    def _update(self, lr: float, p: Array, g: Array, *state: Array) -> None:
        # lr·m̂ / (√v̂ + ε) with both corrections taken out of the arrays, into lr and ε
        c1, c2 = 1 - self.beta1**self.steps, math.sqrt(1 - self.beta2**self.steps)
        _adam(p, *state, g, lr * c2 / c1, self.beta1, self.beta2, self.eps * c2)


class AdamW(Adam):
    """p ← (1 − lr·λ) p, then Adam's update: its `weight_decay` is on  (Loshchilov & Hutter 2019)"""

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.01,
        **penalties: float,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay=weight_decay, **penalties)
