"""Mini-batches: every epoch all rows once, in a fresh order, from any point of which to go on.

The order of an epoch is a permutation of the rows, not of batches that stay together, drawn from a
seed of its own. So the position in the data is four numbers, the count of epochs, the seed, the
row in the permutation and the state of the generator, and a run that restores them sees the very
batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._random import generator, restore, state_of
from tinygen._types import Array, Rng
from tinygen.autograd import as_tensor, xp

__all__ = ["Batches"]

NUMBERS = ("rows", "size", "epoch", "row", "seed")  # of a state


class Batches(Iterator[Any]):
    """`for x in Batches(images, 128, rng=rng)`: Tensors of 128 rows, epoch after epoch

    With `labels` each is a pair, `for x, labels in …`. Each epoch has a new order, or without
    `shuffle` always the images' own. Its last batch has the rows that are left, or is left out
    where `drop_last`. `transform(x, rng=rng)` changes each batch, as an array, on its way:
    `augment`'s functions do. `epochs` says when to stop; without it, never.
    It is an iterator: after its epochs it is used up, and a second loop over it gets nothing.

    A batch has the dtype of `images`, and layers in float32 want float32. Bytes are refused, for
    they would be taken for numbers from 0 to 255; signed ints, such as codes, pass as they are.

    `epoch` is how many epochs are behind, as a fraction: 2.5 in the middle of the third.
    """

    def __init__(
        self,
        images: Array,
        size: int,
        *,
        rng: Rng,
        labels: Array | None = None,
        epochs: int | None = None,
        transform: Callable[..., Array] | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        if not isinstance(images, np.ndarray) or images.dtype.kind not in "fi":
            kind = getattr(images, "dtype", type(images).__name__)
            raise TypeError(
                f"Batches: expected floats, such as images / np.float32(255), got {kind}"
            )
        n, labels = len(images), None if labels is None else np.asarray(labels)
        whole("Batches", 1, size=size)
        whole("Batches", 0, epochs=0 if epochs is None else epochs)
        if size > n or (labels is not None and len(labels) != n):
            many = "no" if labels is None else len(labels)
            raise ValueError(f"Batches: {n} images have {many} labels, in batches of size {size}")
        self.images, self.labels, self.size, self.epochs = images, labels, int(size), epochs
        self.rng, self.transform, self.shuffle = generator("Batches", rng), transform, shuffle
        self.rows = n - n % self.size if drop_last else n  # of an epoch
        self._done, self._row, self._seed = 0, 0, 0  # epochs, rows of this one, its order's seed
        self._order: Array | None = None

    @property
    def epoch(self) -> float:
        return self._done + self._row / self.rows

    @property
    def per_epoch(self) -> int:
        return -(-self.rows // self.size)

    @property
    def steps(self) -> int | None:
        """How many batches there are in all, or None if they never end."""
        return None if self.epochs is None else self.epochs * self.per_epoch

    def __next__(self) -> Any:
        if self._row == self.rows:
            self._done, self._row = self._done + 1, 0
        if self.epochs is not None and self._done >= self.epochs:
            raise StopIteration
        if self._row == 0:
            self._seed, self._order = int(self.rng.integers(2**63)), None
        if self._order is None:
            n, rng = len(self.images), np.random.default_rng(self._seed)
            self._order = rng.permutation(n) if self.shuffle else np.arange(n)
        chosen = self._order[self._row : min(self._row + self.size, self.rows)]
        self._row += len(chosen)
        x = self.images[chosen]
        if self.transform is not None:
            x = self.transform(x, rng=self.rng)
        if self.labels is None:
            return as_tensor(xp.asarray(x))  # rows that were chosen are a copy already
        return as_tensor(xp.asarray(x)), as_tensor(xp.asarray(self.labels[chosen]))

    def state_dict(self) -> dict[str, Array]:
        """The position, by name: fit for `np.savez(file, **state)`."""
        numbers = (self.rows, self.size, self._done, self._row, self._seed)
        state = {name: np.array(n) for name, n in zip(NUMBERS, numbers, strict=True)}
        return {**state, "rng": state_of(self.rng)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. The data must be as many rows, in batches of the same size."""
        rows, size, done, row, seed = (int(state[name]) for name in NUMBERS)
        if (rows, size) != (self.rows, self.size):
            ours = f"{self.rows} rows by {self.size}"
            raise ValueError(f"Batches: expected a state of {ours}, got one of {rows} by {size}")
        restore(self.rng, state["rng"])
        self._done, self._row, self._seed = done, row, seed
        self._order = None  # drawn again from its seed
