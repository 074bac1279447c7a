"""Writing a file whole: killed at any moment, a program leaves the old file or the new one."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinygen._types import Array, PathLike, Rng

PART = ".part"  # how the name of a file ends that is still being written


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """`with replacing("a.npz") as file:`: what is written is `a.npz` at the end, or not at all.

    It goes to a file beside it, which is renamed, in one step, when all of it is on disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own for each process and thread, so that two at once do each other no harm
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
    """`np.savez`, whole or not at all, and never with a pickle in it."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"save_arrays: expected numbers or text, got `{name}` of objects")
    with replacing(path) as file:
        (np.savez_compressed if compress else np.savez)(file, **arrays)


def state_of(rng: Rng) -> Array:
    """The generator's state as text in an array, fit for `np.savez` without pickle."""
    return np.array(json.dumps(rng.bit_generator.state, default=np.ndarray.tolist))


def restore(rng: Rng, state: Array) -> None:
    """Let `rng` draw what the generator drew next whose state this is. It must be of its kind."""
    saved = json.loads(str(np.asarray(state)[()]))
    kind, ours = saved.get("bit_generator"), type(rng.bit_generator).__name__
    if kind != ours:
        raise ValueError(f"restore: the state is of a {kind} generator, and `rng` is a {ours}")
    rng.bit_generator.state = saved
