"""Rows of a batch as a model is given them: some at a time, as Tensors, each with its label.

Labels are ints from 0 to classes − 1; a model that is told the class sees them as one-hot rows.
In a batch of images and labels the labels come second, in a tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp


def host(x: Any) -> Array:
    """A Tensor's or an array's numbers as an array on the host."""
    return to_numpy(x.data if isinstance(x, Tensor) else x)


def as_rows(x: ArrayLike) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)


def slices(owner: str, rows: Any, size: int) -> Iterator[slice]:
    """All rows, so many at a time."""
    whole(owner, 1, size=size)
    if len(rows) == 0:
        raise ValueError(f"{owner}: expected at least one row, got shape {np.shape(rows)}")
    for i in range(0, len(rows), size):
        yield slice(i, i + size)


def part(labels: Any, rows: slice) -> Any:
    return None if labels is None else labels[rows]


def parts(model: Any, rows: Any, labels: Any, size: int = 500) -> Iterator[tuple[Tensor, Any]]:
    """All rows as Tensors, `size` at a time, each part with its labels if the model has classes"""
    owner = type(model).__name__
    labels = checked_labels(owner, labels, model.classes, rows)
    for rows_of_part in slices(owner, rows, size):
        yield as_rows(rows[rows_of_part]), part(labels, rows_of_part)


def dtype_of(model: Any) -> Any:
    """In what the model computes: the dtype of its first state that is no int, or float32"""
    floats = (array.dtype for _, array in model.named_state() if array.dtype.kind == "f")
    return next(floats, np.dtype(np.float32))


def with_labels(batch: Any) -> tuple[Any, Any]:
    """Images and labels; no labels if the batch is of images alone."""
    if isinstance(batch, list) or (isinstance(batch, tuple) and len(batch) != 2):
        kind = f"{type(batch).__name__} of {len(batch)}"
        raise TypeError(f"expected a batch to be images, or a tuple (images, labels), got a {kind}")
    return batch if isinstance(batch, tuple) else (batch, None)


def checked_labels(owner: str, labels: Any, classes: int, rows: Any) -> Any:
    """The labels on the host, one for each of the rows; None if there are no classes."""
    if not classes:
        return None
    if labels is None:
        raise ValueError(f"{owner}: expected `labels`, being conditional on {classes} classes")
    y, n = np.asarray(host(labels)), len(rows)
    if y.dtype.kind not in "iu" or y.shape != (n,):
        kind = f"{y.dtype} of shape {y.shape}"
        raise ValueError(f"{owner}: expected `labels` to be {n} ints, one a row, got {kind}")
    if y.size and not 0 <= y.min() <= y.max() < classes:
        ends = f"{y.min()} to {y.max()}"
        raise ValueError(f"{owner}: expected `labels` from 0 to {classes - 1}, got {ends}")
    return y


def one_hot(labels: Any, classes: int, dtype: Any) -> Tensor:
    """(N,) → (N, classes)"""
    return as_tensor((xp.asarray(labels)[:, None] == xp.arange(classes)).astype(dtype))


def drop_labels(classes: ArrayLike, null: int, probability: float, *, rng: Rng) -> Array:
    """The labels (N,), each replaced by `null`, "any", with this probability (Ho & Salimans 2022)

    A network taught so knows both p(x|c) and p(x): that is algorithm 1 of classifier-free guidance.
    """
    expect("drop_labels", "in [0, 1]", probability=probability)
    labels = as_rows(classes).data
    dropped = xp.asarray(generator("drop_labels", rng).random(len(labels)) < probability)
    return xp.where(dropped, null, labels)
