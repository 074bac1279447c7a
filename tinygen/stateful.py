"""What an optimiser keeps beside each parameter from step to step, and how it is saved.

`Stateful` is the part that an optimiser and an average of parameters have in common: parameters,
each with a name for errors and checkpoints, arrays of the same shape and dtype, a count of steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tinygen.backend import to_numpy, xp
from tinygen.tensor import Tensor

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
                    raise ValueError(f"{owner}: {called} has become {kind_of(p)}, its `{kind}` is "
                                     f"{kind_of(array)}; make a new {owner}")  # fmt: skip

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
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
        problems += [f"{name}: expected {kind_of(ours[name])}, got {kind_of(each)}"
                     for name, each in new.items()
                     if name in ours and not alike(each, ours[name])]  # fmt: skip
        if problems:
            raise ValueError(f"load_state_dict: the state does not fit {type(self).__name__}\n  "
                             + "\n  ".join(problems))  # fmt: skip
        self.steps = int(new["steps"])
        self.state = {kind: [xp.array(new[f"{kind}.{key}"]) for key in self._keys]
                      for kind in self.state}  # fmt: skip


def alike(x: Any, y: Any) -> bool:
    return bool(x.shape == y.shape and x.dtype == y.dtype)


def kind_of(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}"


def _named(owner: str, params: Params) -> tuple[list[Tensor], list[str], list[str]]:
    """The parameters, what errors call them, and what checkpoints do."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(f"{owner}: expected a sequence or dict of Tensors, got "
                        f"{type(params).__name__}")  # fmt: skip
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
            raise TypeError(f"{owner}: expected Tensors, but parameter {name or i} is of type "
                            f"{type(p).__name__}")  # fmt: skip
        this = f"`{name}`" if name else f"parameter {i} of shape {p.shape}"
        if not p.requires_grad:
            raise ValueError(f"{owner}: {this} does not require gradients")
        if id(p) in called:
            raise ValueError(f"{owner}: {this} is the same Tensor as {called[id(p)]}")
        called[id(p)] = this
    if "" in names or len(set(names)) < len(names):
        names = [str(i) for i in range(len(names))]
    return tensors, list(called.values()), names
