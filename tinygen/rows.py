"""Rows of a batch as a model is given them: some at a time, as Tensors, each with its label.

Labels are ints from 0 to classes − 1, an array or a Tensor; a model that is told the class sees
them as one-hot rows. In a batch of images and labels the labels come second, in a tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen.backend import to_numpy, xp
from tinygen.checks import whole
from tinygen.tensor import Tensor, as_tensor


def as_rows(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(xp.asarray(x))


def slices(owner: str, rows: Any, size: int) -> Iterator[slice]:
    """All rows, so many at a time."""
    whole(owner, 1, size=size)
    if len(rows) == 0:
        raise ValueError(f"{owner}: expected at least one row, got shape {np.shape(rows)}")
    for i in range(0, len(rows), size):
        yield slice(i, i + size)


def part(labels: Any, some: slice) -> Any:
    return None if labels is None else labels[some]


def halves(batch: Any) -> tuple[Any, Any]:
    """Images and labels; no labels if the batch is of images alone."""
    return batch if isinstance(batch, tuple) else (batch, None)


def checked_labels(owner: str, labels: Any, classes: int, beside: Any) -> Any:
    """The labels on the host, one for each row of `beside`; None if there are no classes."""
    if not classes:
        return None
    if labels is None:
        raise ValueError(f"{owner}: expected `labels`, for the model is conditional on {classes} "
                         f"classes")  # fmt: skip
    y = np.asarray(to_numpy(labels.data if isinstance(labels, Tensor) else labels))
    if y.dtype.kind not in "iu" or y.shape != (len(beside),):
        raise ValueError(f"{owner}: expected `labels` to be {len(beside)} ints, one for each row, "
                         f"got {y.dtype} of shape {y.shape}")  # fmt: skip
    if y.size and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"{owner}: expected `labels` from 0 to {classes - 1}, got {y.min()} to "
                         f"{y.max()}")  # fmt: skip
    return y


def one_hot(labels: Any, classes: int, dtype: Any) -> Tensor:
    """(N,) → (N, classes)"""
    return as_tensor((xp.asarray(labels)[:, None] == xp.arange(classes)).astype(dtype))
