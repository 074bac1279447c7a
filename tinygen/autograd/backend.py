"""The array library that everything runs on: NumPy, or CuPy on a GPU, behind one name, `xp`.

The rest of the library writes `xp.exp(x)` and need not ask which of the two it has; cupy.py proves
that CuPy works. The difference shows in four other files: parallel.py, which splits large work
across threads or hands it to the GPU whole; conv.py and normalisation.py, which take the faster
versions of fast_conv.py and fast_norm.py on a CPU; and run/run.py, which looks at a GPU's losses
rarely.

Reading order: `use` chooses, `to_numpy` brings back; the rest is what can go wrong on the way.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import itertools
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygen._types import Array, ArrayLike, Rng, Shape
from tinygen.autograd import cupy

__all__ = ["Array", "ArrayLike", "Rng", "Shape", "describe", "keep_memory", "to_numpy", "use", "xp"]


LIBRARIES = ("numpy", "cupy")


class _Namespace:
    """The chosen library's names as plain attributes, so that `xp.exp` costs one look-up."""

    def __getattr__(self, name: str) -> Any:  # only reached by names the library loads lazily
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_chosen, name)


if TYPE_CHECKING:
    xp = np
else:
    xp = _Namespace()

_chosen: ModuleType = np
_device = 0
_too_late = ""  # once set, why another backend can't be chosen any more
name = ""  # "numpy", "cupy", or the name of the module given to `use`
threads = 1  # among how many parallel.py shares work out
on_cpu = True  # whether arrays are NumPy's own
plain = False  # compute as the equations read: on a GPU, and on a CPU if TINYGEN_PLAIN=1


# --- choosing -------------------------------------------------------------------------------------


def use(library: str, device: int = 0) -> None:
    """Run everything from now on on `library`: "numpy", "cupy", or a module with NumPy's interface.

    One process has one backend: the choice must come before the first Tensor. CuPy is accepted
    only once a kernel has run on GPU number `device`; otherwise a RuntimeError says in a sentence
    what is missing, and the previous backend stays.
    """
    global _chosen, _device, name, threads, on_cpu, plain
    if library == name and device == _device:
        return
    if _too_late:
        raise RuntimeError(
            f"use({library!r}) comes too late: {_too_late}; call it first, or set "
            f"TINYGEN_BACKEND={library} before Python starts"
        )
    if library == "cupy":
        module = cupy.working(device)
    else:
        try:
            module = importlib.import_module(library)
        except ImportError:
            raise ValueError(
                f'use: expected "numpy", "cupy" or the name of a module with their '
                f"interface, got {library!r}"
            ) from None
    threads = _count_threads() if module is np else 1
    _chosen, _device, name, on_cpu = module, device, library, module is np
    plain = not on_cpu or os.environ.get("TINYGEN_PLAIN", "0") not in ("", "0")
    if not TYPE_CHECKING:
        vars(xp).clear()
        vars(xp).update({k: v for k, v in vars(module).items() if not k.startswith("__")})


def seal(reason: str) -> None:
    """From now on `use` refuses another backend, for this reason. Called by the first Tensor."""
    global _too_late
    _too_late = _too_late or reason


def _count_threads() -> int:
    wanted = os.environ.get("TINYGEN_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"TINYGEN_THREADS: expected a number from 1 up, got {wanted!r}")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> str:
    """The backend in a line, for logs: library, version, device or threads, BLAS."""
    if name == "cupy":
        gpu = _chosen.cuda.runtime.getDeviceProperties(_chosen.cuda.Device().id)["name"].decode()
        return f"CuPy {_chosen.__version__} on {gpu}"
    found = blas()
    library = found[0].internal_api if found else "unknown BLAS"
    kernels = getattr(found[0], "architecture", "") if found else ""
    return f"{name} {_chosen.__version__} ({library} {kernels}), {threads} threads"


def queues_work() -> bool:
    """Whether operations return before they are done, as on a GPU: to look at a number is to wait
    for all that came before it."""
    return name == "cupy"


def to_numpy(array: Array) -> Array:
    """The array on the host. On a GPU this waits for all work on it to be done."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def as_index(index: Any, shape: Shape) -> Any:
    """An index into an array of `shape`, its lists and host arrays moved to where the array is.

    A GPU wraps an index that is out of range silently, so the check is made here, on the host.
    """
    if _chosen is np:
        return index
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, (list, np.ndarray)) for i in parts):
        host = tuple(i if not isinstance(i, xp.ndarray) else to_numpy(i) for i in parts)
        np.broadcast_to(np.empty((), bool), shape)[host]  # raises what NumPy raises
        parts = tuple(xp.asarray(i) if isinstance(i, (list, np.ndarray)) else i for i in parts)
    return parts if isinstance(index, tuple) else parts[0]


def keep_memory() -> None:
    """Let this process keep freed memory for its next arrays (Linux with glibc only).

    A training step frees and requests the same hundreds of megabytes. By default glibc returns
    them to the system, which must zero them, page by page, before it hands them out again: for an
    array of a few MB that takes longer than a pass of arithmetic over it. The setting holds for
    the whole process until it ends, so call this at the start of a program that trains. Where an
    environment variable `MALLOC_…` is set, its own rules for memory stay.
    """
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        # M_MMAP_THRESHOLD: what is larger is mapped, and unmapped, alone. Old versions refuse 1 GB
        if mallopt is not None and (mallopt(-3, 2**30) or mallopt(-3, 2**25)):
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the free bytes at the heap's end that stay


@functools.cache
def blas() -> list[Any]:
    """Control of the library behind `x @ w`, found once (it takes milliseconds: not at import)."""
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@functools.cache
def blas_threads() -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """For each such library, the functions that get and set its number of threads.

    OpenBLAS's own are ten times as fast as threadpoolctl's, and any Python thread may call them.
    """
    functions = []
    for library in blas():
        get, set = library.get_num_threads, library.set_num_threads
        if library.internal_api == "openblas" and library.threading_layer != "openmp":
            for before, after in itertools.product(("", "scipy_"), ("", "64_", "_64")):
                get = getattr(library.dynlib, f"{before}openblas_get_num_threads{after}", get)
                set = getattr(library.dynlib, f"{before}openblas_set_num_threads{after}", set)
        functions.append((get, set))
    return functions


use(os.environ.get("TINYGEN_BACKEND") or "numpy")
