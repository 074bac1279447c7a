"""The array library behind the name `xp`: NumPy, or CuPy on a GPU.

All code calls `xp.exp(x)` and the like; only code written for speed asks which library it is.
"""

from __future__ import annotations

import contextlib
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

__all__ = ["Array", "ArrayLike", "Rng", "Shape", "describe", "keep_memory", "to_numpy", "use", "xp"]


class _Namespace:
    """The chosen library's names as plain attributes, so that `xp.exp` is a single look-up."""

    def __getattr__(self, name: str) -> Any:  # only for names that the library loads lazily
        return getattr(_chosen, name)


if TYPE_CHECKING:
    xp = np
else:
    xp = _Namespace()

LIBRARIES = ("numpy", "cupy")
_chosen: ModuleType = np
_device = 0
in_use = False  # whether a Tensor exists; from then on the backend can't change
name = ""  # "numpy", "cupy", or the name of the module given to `use`
threads = 1  # the number of threads that parallel.py uses
on_cpu = True  # whether arrays are NumPy arrays
plain = False  # skip the fast CPU code: always on a GPU, on a CPU if TINYGEN_PLAIN=1


def use(library: str, device: int | None = None) -> None:
    """Choose the array library: "numpy", "cupy", or a module with NumPy's interface.

    Call it before the first Tensor. CuPy must pass a test on GPU `device`, or a RuntimeError
    says what is missing. By default the processes that mpirun started take the GPUs in turn.
    """
    global _chosen, _device, name, threads, on_cpu, plain
    if library == name and device in (None, _device):
        return
    if in_use:
        advice = f"call it first, or set TINYGEN_BACKEND={library} before Python starts"
        raise RuntimeError(f"use({library!r}) comes too late: tensors exist already; {advice}")
    module = _cupy(device) if library == "cupy" else importlib.import_module(library)
    threads = _count_threads() if module is np else 1
    _device = device or (_local("RANK", "RANKID") if library == "cupy" and device is None else 0)
    _chosen, name, on_cpu = module, library, module is np
    plain = not on_cpu or os.environ.get("TINYGEN_PLAIN", "0") not in ("", "0")
    vars(xp).clear()
    vars(xp).update({k: v for k, v in vars(module).items() if not k.startswith("__")})


def _local(open_mpi: str, mpich: str, alone: int = 0) -> int:
    """A number that mpirun sets for the processes of one machine; `alone` without mpirun"""
    names = (f"OMPI_COMM_WORLD_LOCAL_{open_mpi}", f"MPI_LOCAL{mpich}")
    return int(next((os.environ[n] for n in names if n in os.environ), alone))


def local_ranks() -> int:
    """The number of processes that mpirun started on this machine; 1 without mpirun"""
    return _local("SIZE", "NRANKS", 1)


def _count_threads() -> int:
    ranks, cores = local_ranks(), os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        with contextlib.suppress(OSError):  # mpirun's own cores: it may bind a rank to fewer
            cores = len(os.sched_getaffinity(0 if ranks == 1 else os.getppid()))
        cores = min(len(os.sched_getaffinity(0)), max(1, cores // ranks))
    wanted = os.environ.get("TINYGEN_THREADS") or str(max(1, cores))
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"TINYGEN_THREADS: expected an integer ≥ 1, got {wanted!r}")
    return int(wanted)


def describe() -> str:
    """One line for logs: the library, its version, and the GPU, or BLAS and threads."""
    if name == "cupy":
        gpu = _chosen.cuda.runtime.getDeviceProperties(_chosen.cuda.Device().id)["name"].decode()
        return f"CuPy {_chosen.__version__} on {gpu}"
    names = [f"{b.internal_api} {getattr(b, 'architecture', '')}" for b in blas()]
    return f"{name} {_chosen.__version__} ({(*names, 'unknown BLAS')[0]}), {threads} threads"


def to_numpy(array: Array) -> Array:
    """The array on the host. On a GPU this waits until the array is computed."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def _cupy(device: int | None) -> ModuleType:
    """CuPy, if it compiles and runs a test kernel; otherwise a RuntimeError with the remedy."""
    try:
        cupy = importlib.import_module("cupy")
        if device is None and (device := _local("RANK", "RANKID")):
            device %= cupy.cuda.runtime.getDeviceCount()
        cupy.cuda.Device(device).use()
        x = cupy.arange(4, dtype=np.float32)
        answer = float(cupy.fuse(kernel_name="probe")(lambda a: a * a + 1)(x).sum())
        if answer != 18:  # 1 + 2 + 5 + 10
            raise ArithmeticError(f"the GPU computed {answer}, expected 18")
    except Exception as error:
        # CuPy's messages fill a page; the original error comes last
        cause = str(error).rpartition("Original error:")[2].strip().partition("\n")[0]
        needs = "a GPU, its driver, and pip install 'cupy-cuda12x[ctk]'"
        raise RuntimeError(f"cupy backend: {cause}; it needs {needs}") from error
    return cupy


def keep_memory() -> None:
    """Keep freed memory for new arrays (Linux with glibc, unless a variable `MALLOC_…` is set).

    Otherwise the system zeroes hundreds of megabytes again in every training step.
    """
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        # M_MMAP_THRESHOLD: larger arrays are mapped and unmapped alone. Old versions refuse 1 GB
        if mallopt is not None and (mallopt(-3, 2**30) or mallopt(-3, 2**25)):
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: free bytes to keep at the heap's end


@functools.cache
def blas() -> list[Any]:
    """Controllers of the library behind `x @ w`. The search takes milliseconds: not at import."""
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@functools.cache
def blas_threads() -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """For each BLAS library, the functions that get and set its number of threads."""
    functions = []
    for library in blas():
        get, set = library.get_num_threads, library.set_num_threads
        if library.internal_api == "openblas" and library.threading_layer != "openmp":
            # OpenBLAS's own are ten times as fast, and any Python thread may call them
            for before, after in itertools.product(("", "scipy_"), ("", "64_", "_64")):
                get = getattr(library.dynlib, f"{before}openblas_get_num_threads{after}", get)
                set = getattr(library.dynlib, f"{before}openblas_set_num_threads{after}", set)
        functions.append((get, set))
    return functions


use(os.environ.get("TINYGEN_BACKEND") or "numpy")
