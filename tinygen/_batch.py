"""Rows of a batch as a model is given them: some at a time, as Tensors, each with its label.

Labels are ints from 0 to classes − 1, an array or a Tensor; a model that is told the class sees
them as one-hot rows. In a batch of images and labels the labels come second, in a tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen._checks import number, whole
from tinygen._random import generator
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp


def host(x: Any) -> Any:
    """A Tensor's or an array's numbers as an array on the host."""
    return to_numpy(x.data if isinstance(x, Tensor) else x)


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


def dtype_of(model: Any) -> Any:
    """In what the model computes: the dtype of its first state that is no int, or float32"""
    floats = (each.dtype for _, each in model.named_state() if each.dtype.kind == "f")
    return next(floats, np.dtype(np.float32))


def floating(owner: str, x: Any) -> Tensor:
    """The rows as a Tensor, if they are no ints: bytes would be taken for numbers from 0 to 255."""
    rows = as_rows(x)
    if rows.dtype.kind != "f":
        raise TypeError(
            f"{owner}: expected images in floating point, got {rows.dtype}; of bytes "
            f"take images / np.float32(255)"
        )
    return rows


def halves(batch: Any) -> tuple[Any, Any]:
    """Images and labels; no labels if the batch is of images alone."""
    if isinstance(batch, list) or (isinstance(batch, tuple) and len(batch) != 2):
        raise TypeError(
            f"expected a batch to be images, or a tuple (images, labels), got a "
            f"{type(batch).__name__} of {len(batch)}"
        )
    return batch if isinstance(batch, tuple) else (batch, None)


def checked_labels(owner: str, labels: Any, classes: int, beside: Any) -> Any:
    """The labels on the host, one for each row of `beside`; None if there are no classes."""
    if not classes:
        return None
    if labels is None:
        raise ValueError(
            f"{owner}: expected `labels`, for the model is conditional on {classes} classes"
        )
    y = np.asarray(host(labels))
    if y.dtype.kind not in "iu" or y.shape != (len(beside),):
        raise ValueError(
            f"{owner}: expected `labels` to be {len(beside)} ints, one for each row, "
            f"got {y.dtype} of shape {y.shape}"
        )
    if y.size and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(
            f"{owner}: expected `labels` from 0 to {classes - 1}, got {y.min()} to {y.max()}"
        )
    return y


def one_hot(labels: Any, classes: int, dtype: Any) -> Tensor:
    """(N,) → (N, classes)"""
    return as_tensor((xp.asarray(labels)[:, None] == xp.arange(classes)).astype(dtype))


def drop_labels(classes: Any, null: int, probability: float, *, rng: Rng) -> Array:
    """The labels (N,), each replaced by `null`, "any", with this probability (Ho & Salimans 2022)

    A network taught so knows both p(x|c) and p(x): that is algorithm 1 of classifier-free guidance.
    """
    p = number(
        "drop_labels: expected `probability` from 0 to 1", probability, lambda x: 0 <= x <= 1
    )
    labels = as_rows(classes).data
    dropped = xp.asarray(generator("drop_labels", rng).random(len(labels)) < p)
    return xp.where(dropped, null, labels)
