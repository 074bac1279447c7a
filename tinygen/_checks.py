"""Two checks at the door: is it a whole number that is large enough, and is it a finite number?"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np


def whole(owner: str, least: int, **values: Any) -> None:
    """An error unless each value is an int, and at least `least`. True and False are none."""
    for name, n in values.items():
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
            raise ValueError(f"{owner}: expected `{name}` to be an int ≥ {least}, got {n!r}")


def number(condition: str, value: Any, holds: Callable[[float], bool]) -> float:
    """`value` as a float, if it is a finite number and the condition holds; or an error."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{condition}, got {type(value).__name__}")
    if not (math.isfinite(value) and holds(float(value))):
        raise ValueError(f"{condition}, got {value}")
    return float(value)
