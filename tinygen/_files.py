"""Writing a file whole: killed at any moment, a program leaves the old file or the new one."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinygen._types import PathLike

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
