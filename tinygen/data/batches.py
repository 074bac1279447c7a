"""Mini-batches: every epoch all rows once, in a fresh order, from any point of which to go on.

The order of an epoch is a permutation of the rows, drawn from a seed of its own. A run restores the
count of epochs, that seed, the row and the generator, and sees the batches it would have seen.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygen._checks import generator, whole
from tinygen._files import restore, state_of
from tinygen._types import Array, Rng
from tinygen.autograd import as_tensor, xp

__all__ = ["Batches", "Labelled"]

NUMBERS = ("rows", "size", "epoch", "row", "seed")  # of a state


class Labelled(NamedTuple):
    """Images (N, H, W, C), float32 in [0, 1]; the class of each, int64 (N,), or None."""

    images: Array
    labels: Any


class Batches(Iterator[Any]):
    """`for x in Batches(images, 128, rng=rng)`: Tensors of 128 rows, epoch after epoch

    With `labels` each is a pair, `for x, labels in …`. `transform(x, rng=rng)` changes each batch,
    as an array, on its way. After `epochs` the iterator is used up; without, it never ends. A batch
    has the dtype of `images`; bytes are refused, for they would be taken for numbers up to 255.
    `epoch` is 2.5 in the middle of the third.
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
            raise TypeError(f"Batches: expected floats, as images / np.float32(255), got {kind}")
        n, labels = len(images), None if labels is None else np.asarray(labels)
        whole("Batches", 1, size=size)
        whole("Batches", 0, epochs=0 if epochs is None else epochs)
        if size > n or (labels is not None and len(labels) != n):
            count = "no" if labels is None else len(labels)
            raise ValueError(f"Batches: {n} images have {count} labels, in batches of size {size}")
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
        self._done, self._row, self._seed, self._order = done, row, seed, None  # drawn again
