"""The words of the library's signatures, so that each means one thing everywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

if TYPE_CHECKING:
    from tinygen.autograd.tensor import Tensor

Array: TypeAlias = np.ndarray[Any, Any]  # on a GPU CuPy's, which has no types of its own to name
ArrayLike: TypeAlias = Union["Tensor", Array, np.generic, float, Sequence[Any]]
Shape: TypeAlias = tuple[int, ...]
Rng: TypeAlias = np.random.Generator
PathLike: TypeAlias = str | os.PathLike[str]
