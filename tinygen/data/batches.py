"""Mini-batches: each epoch visits every row once, in a new random order, and can be resumed.

The state has the epoch, the seed of its order, the row and the generator: resuming is exact.
If several processes train one model, each batch is cut into equal parts, one per rank; a rest of
fewer rows than ranks is left out.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygen import distributed
from tinygen._checks import generator, whole
from tinygen._files import restore, state_of
from tinygen._types import Array, Rng
from tinygen.autograd import as_tensor, xp

__all__ = ["Batches", "Labelled"]

NUMBERS = ("rows", "size", "epoch", "row", "seed")  # in a state


class Labelled(NamedTuple):
    """Images (N, H, W, C), float32 in [0, 1], and their labels, int64 (N,) or None."""

    images: Array
    labels: Any

    def __repr__(self) -> str:
        labels = "" if self.labels is None else f", labels {self.labels.shape}"
        return f"Labelled(images {self.images.shape} {self.images.dtype}{labels})"


class Batches(Iterator[Any]):
    """`for x in Batches(images, 128, rng=rng)`: Tensors of 128 rows, epoch after epoch

    With `labels`, items are pairs (x, labels). `transform(x, rng=rng)` changes each batch, as an
    array. The iterator ends after `epochs`, or never if that is None. Batches keep the dtype of
    `images`; bytes are rejected: divide them by 255. `epoch` is 2.5 halfway through the third.
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
        if size > n:
            raise ValueError(f"Batches: expected `size` ≤ {n}, the number of images, got {size}")
        if labels is not None and len(labels) != n:
            raise ValueError(f"Batches: expected {n} labels, one per image, got {len(labels)}")
        ranks = distributed.size()
        if size < ranks:
            raise ValueError(f"Batches: expected `size` ≥ {ranks}, the number of ranks, got {size}")
        size = int(size) - int(size) % ranks  # so that the parts are equal
        self.images, self.labels, self.size, self.epochs = images, labels, size, epochs
        self.rng, self.transform, self.shuffle = generator("Batches", rng), transform, shuffle
        self.rows = n - n % (size if drop_last else ranks)  # per epoch
        self._done, self._row, self._seed = 0, 0, 0  # epochs, rows of this one, its seed
        self._order: Array | None = None

    def __repr__(self) -> str:
        epochs = "" if self.epochs is None else f" of {self.epochs}"
        return f"Batches({self.size} of {self.images.shape}, epoch {self.epoch:.4g}{epochs})"

    @property
    def epoch(self) -> float:
        return self._done + self._row / self.rows

    @property
    def per_epoch(self) -> int:
        return -(-self.rows // self.size)

    @property
    def steps(self) -> int | None:
        """The total number of batches, or None if there is no end."""
        return None if self.epochs is None else self.epochs * self.per_epoch

    def __next__(self) -> Any:
        if self._row == self.rows:
            self._done, self._row = self._done + 1, 0
        if self.epochs is not None and self._done >= self.epochs:
            raise StopIteration
        if self._row == 0:
            seed = distributed.broadcast({"seed": self.rng.integers(2**63)})["seed"]
            self._seed, self._order = int(seed), None
        if self._order is None:
            n, rng = len(self.images), np.random.default_rng(self._seed)
            self._order = rng.permutation(n) if self.shuffle else np.arange(n)
        chosen = self._order[self._row : min(self._row + self.size, self.rows)]
        self._row += len(chosen)
        chosen = np.split(chosen, distributed.size())[distributed.rank()]
        x = self.images[chosen]
        if self.transform is not None:
            x = self.transform(x, rng=self.rng)
        if self.labels is None:
            return as_tensor(xp.asarray(x))  # rows that were chosen are a copy already
        return as_tensor(xp.asarray(x)), as_tensor(xp.asarray(self.labels[chosen]))

    def state_dict(self) -> dict[str, Array]:
        """The position, as arrays for `np.savez(file, **state)`."""
        numbers = (self.rows, self.size, self._done, self._row, self._seed)
        state = {name: np.array(n) for name, n in zip(NUMBERS, numbers, strict=True)}
        return {**state, "rng": state_of(self.rng)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a saved position, with the same number of rows and batch size."""
        rows, size, done, row, seed = (int(state[name]) for name in NUMBERS)
        if (rows, size) != (self.rows, self.size):
            ours = f"{self.rows} rows, batch size {self.size}"
            if (ranks := distributed.size()) > 1:
                ours += f" (multiples of {ranks}, the number of ranks)"
            raise ValueError(f"Batches: expected a state of {ours}, got {rows} and {size}")
        restore(self.rng, state["rng"])
        self._done, self._row, self._seed, self._order = done, row, seed, None
