"""Rows of a batch as Tensors, with their labels, ints from 0 to classes − 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp


def host(x: Any) -> Array:
    """A Tensor or array as a NumPy array, in the CPU's memory."""
    return to_numpy(x.data if isinstance(x, Tensor) else x)


def as_rows(x: ArrayLike) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)


def slices(owner: str, rows: Any, size: int) -> Iterator[slice]:
    """Slices of `size` rows each, for all rows."""
    whole(owner, 1, size=size)
    if len(rows) == 0:
        raise ValueError(f"{owner}: expected at least one row, got shape {np.shape(rows)}")
    for i in range(0, len(rows), size):
        yield slice(i, i + size)


def part(labels: Any, rows: slice) -> Any:
    return None if labels is None else labels[rows]


def parts(model: Any, rows: Any, labels: Any, size: int = 500) -> Iterator[tuple[Tensor, Any]]:
    """All rows as Tensors, `size` at a time, with their labels if the model is conditional"""
    owner = type(model).__name__
    labels = checked_labels(owner, labels, model.classes, rows)
    for rows_of_part in slices(owner, rows, size):
        yield as_rows(rows[rows_of_part]), part(labels, rows_of_part)


def dtype_of(model: Any) -> Any:
    """The dtype of the model's first floating-point state, or float32"""
    floats = (array.dtype for _, array in model.named_state() if array.dtype.kind == "f")
    return next(floats, np.dtype(np.float32))


def with_labels(batch: Any) -> tuple[Any, Any]:
    """The images and labels of a batch; labels are None if it has images only."""
    if isinstance(batch, list) or (isinstance(batch, tuple) and len(batch) != 2):
        kind = f"{type(batch).__name__} of {len(batch)}"
        raise TypeError(f"expected a batch of images or a tuple (images, labels), got a {kind}")
    return batch if isinstance(batch, tuple) else (batch, None)


def checked_labels(owner: str, labels: Any, classes: int, rows: Any) -> Any:
    """The labels as a NumPy array, one per row; None if there are no classes."""
    if not classes:
        return None
    if labels is None:
        raise ValueError(f"{owner}: expected `labels` for a model conditional on {classes} classes")
    y, n = np.asarray(host(labels)), len(rows)
    if y.dtype.kind not in "iu" or y.shape != (n,):
        kind = f"{y.dtype} of shape {y.shape}"
        raise ValueError(f"{owner}: expected `labels` to be {n} ints, one per row, got {kind}")
    if y.size and not 0 <= y.min() <= y.max() < classes:
        ends = f"{y.min()} to {y.max()}"
        raise ValueError(f"{owner}: expected `labels` from 0 to {classes - 1}, got {ends}")
    return y


def one_hot(labels: Any, classes: int, dtype: Any) -> Tensor:
    """(N,) → (N, classes)"""
    return as_tensor((xp.asarray(labels)[:, None] == xp.arange(classes)).astype(dtype))


def drop_labels(classes: ArrayLike, null: int, probability: float, *, rng: Rng) -> Array:
    """Replace each label (N,) by `null` with this probability, for classifier-free guidance

    One network then learns both p(x|c) and p(x). (Ho & Salimans 2022, algorithm 1) A caption's
    tokens (N, S) are all replaced, or none.
    """
    expect("drop_labels", "in [0, 1]", probability=probability)
    labels = as_rows(classes).data
    dropped = xp.asarray(generator("drop_labels", rng).random(len(labels)) < probability)
    return xp.where(dropped.reshape(-1, *[1] * (labels.ndim - 1)), null, labels)
