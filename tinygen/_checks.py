"""Checks of arguments, one line each: numbers, random generators, state dicts."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygen._types import Rng

CONDITIONS: Mapping[str, Callable[[float], bool]] = {
    "> 0": lambda x: x > 0,
    "≥ 0": lambda x: x >= 0,
    "in (0, 1)": lambda x: 0 < x < 1,
    "in (0, 1]": lambda x: 0 < x <= 1,
    "in [0, 1)": lambda x: 0 <= x < 1,
    "in [0, 1]": lambda x: 0 <= x <= 1,
    "finite": lambda x: True,
}


def whole(owner: str, least: int, **values: Any) -> None:
    """Raise an error unless each value is an int ≥ `least`. Booleans are rejected."""
    for name, n in values.items():
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
            raise ValueError(f"{owner}: expected `{name}` to be an int ≥ {least}, got {n!r}")


def expect(owner: str, condition: str, **values: Any) -> None:
    """Raise an error unless each value is finite and meets the condition, such as "> 0"."""
    for name, x in values.items():
        if not isinstance(x, numbers.Real):
            raise TypeError(f"{owner}: expected `{name}` {condition}, got {type(x).__name__}")
        if not (math.isfinite(x) and CONDITIONS[condition](float(x))):
            raise ValueError(f"{owner}: expected `{name}` {condition}, got {x}")


def generator(owner: str, rng: Any) -> Rng:
    if not isinstance(rng, np.random.Generator):
        wanted = "`rng` to be a NumPy Generator, such as np.random.default_rng(0)"
        raise TypeError(f"{owner}: expected {wanted}, got {type(rng).__name__}")
    return rng


def same_state(owner: str, ours: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise an error that names each missing, unexpected or mismatched array, if there are any."""
    misfits = [f"missing: {name}" for name in ours if name not in new]
    misfits += [f"unexpected: {name}" for name in new if name not in ours]
    for name in ours.keys() & new.keys():
        a, b = ours[name], np.asarray(new[name])
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            misfits.append(f"{name}: expected {a.dtype} {a.shape}, got {b.dtype} {b.shape}")
    if misfits:
        raise ValueError(f"{owner}: the state does not fit\n  " + "\n  ".join(sorted(misfits)))
