"""Atomic writes: a program killed at any moment leaves the old file or the new one."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinygen._types import Array, PathLike, Rng

PART = ".part"  # suffix of a file that is still being written


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """`with replacing("a.npz") as file:` writes a temporary file, then renames it to `a.npz`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the name is unique to this process and thread, so that concurrent writes do not collide
    part = path.parent / f".{path.name}.{os.getpid()}-{threading.get_ident()}{PART}"
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def save_arrays(path: PathLike, compress: bool = False, **arrays: Any) -> None:
    """`np.savez`, but atomic and without pickle."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"save_arrays: expected numbers or text, got `{name}` of objects")
    with replacing(path) as file:
        (np.savez_compressed if compress else np.savez)(file, **arrays)


def state_of(rng: Rng) -> Array:
    """The generator's state as text in an array, for `np.savez` without pickle."""
    return np.array(json.dumps(rng.bit_generator.state, default=np.ndarray.tolist))


def restore(rng: Rng, state: Array) -> None:
    """Set `rng` to this state, saved from a generator of the same kind."""
    saved = json.loads(str(np.asarray(state)[()]))
    kind, ours = saved.get("bit_generator"), type(rng.bit_generator).__name__
    if kind != ours:
        raise ValueError(f"restore: expected `rng` to be a {kind} generator, got a {ours}")
    rng.bit_generator.state = saved
