"""The type aliases of the library's signatures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

if TYPE_CHECKING:
    from tinygen.autograd.tensor import Tensor

Array: TypeAlias = np.ndarray[Any, Any]  # CuPy's on a GPU, which has no type hints
ArrayLike: TypeAlias = Union["Tensor", Array, np.generic, float, Sequence[Any]]
Shape: TypeAlias = tuple[int, ...]
Rng: TypeAlias = np.random.Generator
PathLike: TypeAlias = str | os.PathLike[str]
