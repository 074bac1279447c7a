"""A random generator as an argument: checked where it comes in, and its state saved as text.

A run that restores the state draws what it would have drawn had it never been stopped.
"""

import json
from typing import Any

import numpy as np

from tinygen._types import Array, Rng


def generator(owner: str, rng: Any) -> Rng:
    if not isinstance(rng, np.random.Generator):
        wanted = "`rng` to be a NumPy Generator, as np.random.default_rng(0) makes"
        raise TypeError(f"{owner}: expected {wanted}, got {type(rng).__name__}")
    return rng


def state_of(rng: Rng) -> Array:
    """The generator's state as text in an array, fit for `np.savez` without pickle."""
    return np.array(json.dumps(rng.bit_generator.state, default=np.ndarray.tolist))


def restore(rng: Rng, state: Array) -> None:
    """Let `rng` draw what the generator drew next whose state this is. It must be of its kind."""
    saved = json.loads(str(np.asarray(state)[()]))
    kind, ours = saved.get("bit_generator"), type(rng.bit_generator).__name__
    if kind != ours:
        raise ValueError(f"restore: the state is of a {kind} generator, and `rng` is a {ours}")
    rng.bit_generator.state = saved
