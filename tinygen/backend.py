"""The array library that everything runs on: NumPy, or CuPy on a GPU, behind one name, `xp`.

The rest of the library writes `xp.exp(x)` and never asks which of the two it has. Three things
differ between them, and this is the only file that knows it:

- how an array comes back to the host (`to_numpy`);
- how an elementwise formula becomes one pass over memory (`fused`);
- how large work is cut up and spread over cores (`spread`, `BLOCK_BYTES`).

Reading order: `use` chooses, `to_numpy` brings back, `spread` and `fused` make it fast.
"""

from __future__ import annotations

import contextvars
import ctypes
import functools
import importlib
import math
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # an `xp.ndarray`; CuPy has no type hints to share with NumPy's
Shape: TypeAlias = tuple[int, ...]

LIBRARIES = ("numpy", "cupy")

BLOCK_BYTES = 3 << 20  # what one thread works on at a time: small enough to stay in its cache
WORKSPACE_BYTES = 12 << 20  # what all the threads' blocks together may take
GPU_BLOCK_BYTES = 256 << 20


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
threads = 1  # how many `spread` uses


# --- choosing -------------------------------------------------------------------------------------


def use(library: str, device: int = 0) -> None:
    """Run everything from now on on `library`: "numpy", "cupy", or a module with NumPy's interface.

    One process has one backend: the choice must come before the first Tensor. CuPy is accepted
    only once a kernel has run on GPU number `device`; otherwise a RuntimeError says in a sentence
    what is missing, and the previous backend stays.
    """
    global _chosen, _device, name, threads
    if library == name and device == _device:
        return
    if _too_late:
        raise RuntimeError(f"use({library!r}) comes too late: {_too_late}; call it first, or set "
                           f"TINYGEN_BACKEND={library} before Python starts")  # fmt: skip
    if library == "cupy":
        module = _working_cupy(device)
    else:
        try:
            module = importlib.import_module(library)
        except ImportError:
            raise ValueError(f'use: expected "numpy", "cupy" or the name of a module with their '
                             f"interface, got {library!r}") from None  # fmt: skip
    threads = _count_threads() if module is np else 1
    if module is np:
        _keep_freed_memory()
    _chosen, _device, name = module, device, library
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


def _working_cupy(device: int) -> ModuleType:
    """CuPy, proven by a kernel that it compiled and ran; or a RuntimeError that says what to do."""
    folders = (name for place in map(Path, sys.path) for name in place.glob("cupy*.dist-info"))
    names = {each.name.partition("-")[0].replace("_", "-") for each in folders}
    packages = sorted(each for each in names if re.fullmatch(r"cupy(-(cuda|rocm).*)?", each))
    if len(packages) > 1:
        raise RuntimeError(f"cupy backend: {' and '.join(packages)} are installed and overwrite "
                           f"each other; uninstall all, then pip install cupy-cuda12x")  # fmt: skip
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        if error.name == "cupy":
            raise RuntimeError("cupy backend: CuPy is not installed; pip install 'tinygen[gpu]' "
                               "(for CUDA 12)") from error  # fmt: skip
        raise RuntimeError(f"cupy backend: CuPy is installed but can't be imported "
                           f"({_gist(error)}); pip install --force-reinstall "
                           f"cupy-cuda12x") from error  # fmt: skip
    try:
        cupy.cuda.Device(device).use()
        x = cupy.arange(4, dtype=np.float32)
        answer = float(cupy.fuse()(lambda a: a * a + 1)(x).sum())
    except Exception as error:
        raise RuntimeError(f"cupy backend: {_advice(error, device)} ({_gist(error)})") from error
    if answer != 18:  # 1 + 2 + 5 + 10
        raise RuntimeError(f"cupy backend: the GPU computed {answer} for 18; check its driver")
    return cupy


def _gist(error: Exception) -> str:
    """The line of a message that tells: CuPy's fill a page, and end with what it was at first."""
    return str(error).rpartition("Original error:")[2].strip().partition("\n")[0]


def _advice(error: Exception, device: int) -> str:
    """What an error of CuPy's first kernel means, and what to do about it."""
    text = f"{type(error).__name__}: {error}"
    if "InsufficientDriver" in text:
        return "no NVIDIA driver, or one too old for CUDA 12; install or update the driver"
    if "NoDevice" in text:
        return "the NVIDIA driver sees no GPU; is one present, and is CUDA_VISIBLE_DEVICES right?"
    if "InvalidDevice" in text:
        return f'there is no GPU number {device}; use("cupy", device=0) takes the first'
    if isinstance(error, (ImportError, OSError)) or "lib" in text or "Compile" in text:
        return "CUDA's libraries or headers are missing; pip install 'cupy-cuda12x[ctk]'"
    return "the GPU did not run a first kernel; check nvidia-smi"


def describe() -> str:
    """The backend in a line, for logs: library, version, device or threads, BLAS."""
    if name == "cupy":
        gpu = _chosen.cuda.runtime.getDeviceProperties(_chosen.cuda.Device().id)["name"].decode()
        return f"CuPy {_chosen.__version__} on {gpu}"
    found = _blas().info()
    library = found[0]["internal_api"] if found else "unknown BLAS"
    kernels = found[0].get("architecture", "") if found else ""
    return f"{name} {_chosen.__version__} ({library} {kernels}), {threads} threads"


def queues_work() -> bool:
    """Whether operations return before they are done, as on a GPU: to look at a number is to wait
    for all that came before it."""
    return name == "cupy"


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """The array on the host. On a GPU this waits for all work on it to be done."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


# --- work in blocks -------------------------------------------------------------------------------

_scratch = threading.local()


def workspace(key: str, shape: Shape, dtype: Any) -> Array:
    """An uninitialised array that each thread keeps, under `key`, for its next block.

    Fresh memory would have to be asked from the system, and zeroed by it, at every block.
    """
    count = 1
    for side in shape:
        count *= side
    kept = getattr(_scratch, key, None)
    if kept is None or kept.size < count or kept.dtype != dtype:
        kept = xp.empty(count, dtype)
        setattr(_scratch, key, kept)
    return kept[:count].reshape(shape)


def _keep_freed_memory() -> None:
    """Ask the C library to keep what is freed for what comes next, where it is one that can.

    A step frees and asks for the same hundreds of megabytes. By default glibc hands them back to
    the system, which must zero them, page by page, before it gives them out again: for an array
    of some MB that takes longer than a pass of arithmetic over it.
    """
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        # M_MMAP_THRESHOLD: what is larger is mapped, and unmapped, alone. Old versions refuse 1 GB
        if mallopt is not None and (mallopt(-3, 2**30) or mallopt(-3, 2**25)):
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the free bytes at the heap's end that stay


@functools.cache
def _blas() -> Any:
    """Control of the library behind `x @ w`, found once (it takes milliseconds: not at import)."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@functools.cache
def _keep_blas_to_one_thread() -> None:
    """From now on. It is `spread` that shares work out over the cores; two would be in the way.

    A thread of BLAS that has done its part spins for a while, and takes a core from ours.
    """
    _blas().limit(limits=1)


@functools.cache
def _helpers(count: int) -> list[SimpleQueue[Callable[[], None]]]:
    """So many threads, started when there is work for them first, by the queues they wait at."""

    def serve(jobs: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            jobs.get()()

    queues: list[SimpleQueue[Callable[[], None]]] = [SimpleQueue() for _ in range(count)]
    for jobs in queues:
        threading.Thread(target=serve, args=(jobs,), name="tinygen", daemon=True).start()
    return queues


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def block_bytes() -> int:
    """The workspace of one block: what fits a core's cache; a GPU wants few large pieces."""
    return min(BLOCK_BYTES, WORKSPACE_BYTES // threads) if _chosen is np else GPU_BLOCK_BYTES


def blocks(start: int, stop: int, bytes_each: int) -> Iterator[tuple[int, int]]:
    """Cut `range(start, stop)` into pieces whose workspace, `bytes_each` an item, is a block's."""
    size = max(1, block_bytes() // max(1, bytes_each))
    for i in range(start, stop, size):
        yield i, min(i + size, stop)


def spread(work: Callable[[int, int], Any], count: int, bytes_each: int) -> list[Any]:
    """Call `work(start, stop)` on blocks of `range(count)`, spread over threads; all its results.

    Each item needs a workspace of `bytes_each`. Results come in order, whichever thread made them.
    """
    share = max(1, -(-count // threads))  # no thread without work
    pieces = [p for i in range(0, count, share)
              for p in blocks(i, min(i + share, count), bytes_each)]  # fmt: skip
    results: list[Any] = [None] * len(pieces)

    def do(k: int) -> None:
        results[k] = work(*pieces[k])

    share_out(do, len(pieces))
    return results


def share_out(job: Callable[[int], None], count: int) -> None:
    """Call `job` with 0 … count − 1. Each thread, this one too, takes the next that is left."""
    if _chosen is np:
        _keep_blas_to_one_thread()
    # a thread that waited here for others that wait here could wait for ever
    if threads == 1 or count < 2 or getattr(_scratch, "busy", False):
        for k in range(count):
            job(k)
        return
    left, ended = deque(range(count)), SimpleQueue[BaseException | None]()

    def take() -> None:
        _scratch.busy = True
        try:
            while True:
                try:
                    k = left.popleft()
                except IndexError:
                    return
                job(k)
        finally:
            _scratch.busy = False
            left.clear()  # after an error nobody need go on

    def help() -> None:
        try:
            take()
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)

    helpers = _helpers(threads - 1)[: count - 1]
    for jobs in helpers:
        jobs.put(functools.partial(contextvars.copy_context().run, help))  # errstate goes along
    try:
        take()
    finally:
        errors = [ended.get() for _ in helpers]
    for error in filter(None, errors):
        raise error


PRODUCT_FROM = 1 << 21  # multiplications: a smaller product is done before another thread has begun


def product(a: Array, b: Array) -> Array:
    """a @ b over the last two axes, on all cores: each makes some rows, columns or matrices.

    Where only one of two stacks of matrices is repeated along the first axis, on one core.
    """
    if a.shape[-1] == 1:
        return a * b  # BLAS takes many times as long
    if _chosen is np:
        _keep_blas_to_one_thread()
    if _chosen is not np or threads == 1 or a.size * b.shape[-1] < PRODUCT_FROM:
        return a @ b
    z = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]),
                 np.result_type(a, b))  # fmt: skip
    if z.ndim > 2 and len(a) == len(b) == 1 and a.ndim == b.ndim:
        return product(a[0], b[0])[None]
    if z.ndim == 2:
        axis = 0 if z.shape[0] >= z.shape[1] else 1
    elif a.shape[0] == b.shape[0] and a.ndim == b.ndim:
        axis = -1
    else:
        return np.matmul(a, b, out=z)
    count = max(z.shape) if axis >= 0 else len(z)

    def work(k: int, _: int) -> None:
        part = slice(count * k // threads, count * (k + 1) // threads)
        if axis == 1:
            np.matmul(a, b[:, part], out=z[:, part])
        else:
            np.matmul(a[part], b if axis == 0 else b[part], out=z[part])

    spread(work, threads, block_bytes())
    return z


FUSE_FROM = 1 << 17  # elements: below this, one call costs less than cutting the array up


def fused(formula: Callable[..., Any]) -> Callable[..., Any]:
    """An elementwise formula over arrays as one pass over memory.

    Written plainly, `g * s * (1 + x * (1 - s))` walks through memory once per operation. On NumPy
    the formula is applied to one block after another, so that its temporaries stay in cache, and
    blocks are spread over threads; on CuPy it becomes one kernel. Arrays broadcast; the formula
    returns one array or a tuple, and must not look beyond one element.
    """
    kernel: list[Callable[..., Any]] = []

    @functools.wraps(formula)
    def apply(*arrays: Any) -> Any:
        if _chosen is not np:
            if not kernel:
                kernel.append(_chosen.fuse()(formula))
            return kernel[0](*arrays)
        if max((a.size for a in arrays if isinstance(a, np.ndarray)), default=0) < FUSE_FROM:
            return formula(*arrays)
        return _in_blocks(formula, arrays)

    return apply


def _in_blocks(formula: Callable[..., Any], arrays: tuple[Any, ...]) -> Any:
    shape = np.broadcast_shapes(*(np.shape(a) for a in arrays))
    full = [isinstance(a, np.ndarray) and a.shape == shape for a in arrays]
    if all(f or np.ndim(a) == 0 for a, f in zip(arrays, full, strict=True)) and all(
        a.flags.c_contiguous for a, f in zip(arrays, full, strict=True) if f
    ):
        arrays = tuple(a.reshape(-1) if f else a for a, f in zip(arrays, full, strict=True))
    rows, *rest = np.broadcast_shapes(*(np.shape(a) for a in arrays))
    # an operand is cut along the first axis where it has it, and passed whole where it broadcasts
    cut = [np.ndim(a) == len(rest) + 1 and np.shape(a)[0] == rows for a in arrays]

    def piece(start: int, stop: int) -> tuple[Any, ...]:
        return tuple(a[start:stop] if c else a for a, c in zip(arrays, cut, strict=True))

    sample = formula(*piece(0, 1))
    several = isinstance(sample, tuple)
    outputs = tuple(
        np.empty((rows, *rest), each.dtype) for each in (sample if several else (sample,))
    )

    def work(start: int, stop: int) -> None:
        results = formula(*piece(start, stop))
        for output, result in zip(outputs, results if several else (results,), strict=True):
            output[start:stop] = result

    spread(work, rows, 4 * int(np.prod(rest, dtype=np.int64)) * outputs[0].itemsize)
    outputs = tuple(each.reshape(shape) for each in outputs)
    return outputs if several else outputs[0]


def in_place(formula: Callable[..., None]) -> Callable[..., None]:
    """An elementwise formula that changes arrays it is given, `m *= 0.9`, as one pass over memory.

    The arrays are of one shape. Like `fused`, but nothing is returned and no memory asked for,
    beyond what one block's terms take.
    """
    kernel: list[Callable[..., None]] = []

    @functools.wraps(formula)
    def apply(*arrays: Any) -> None:
        if _chosen is not np:
            if not kernel:
                kernel.append(_chosen.fuse()(formula))
            kernel[0](*arrays)
            return
        whole = [a for a in arrays if isinstance(a, np.ndarray)]
        size = whole[0].size
        if size < FUSE_FROM or not all(a.flags.c_contiguous for a in whole):
            formula(*arrays)
            return
        rows = [a.reshape(-1) if isinstance(a, np.ndarray) else a for a in arrays]

        def work(i: int, j: int) -> None:
            formula(*(a[i:j] if isinstance(a, np.ndarray) else a for a in rows))

        spread(work, size, 4 * whole[0].itemsize)

    return apply


def add_up(x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """x.sum(axis, keepdims); of a large x over axes before the last as a product with ones.

    NumPy adds rows up at a fraction of the speed at which BLAS multiplies them by one.
    """
    axes = sorted(a % x.ndim for a in axis) if isinstance(axis, tuple) else []
    first, last = (axes[0], axes[-1] + 1) if axes else (0, 0)
    between = first < last < x.ndim and axes == list(range(first, last))
    if not between or x.size < 1 << 14 or x.dtype.char not in "fd":
        return x.sum(axis=axis, keepdims=keepdims)
    A, B = math.prod(x.shape[:first]), math.prod(x.shape[first:last])
    total = xp.ones((1, B), x.dtype) @ x.reshape(A, B, x.size // (A * B))  # (A, 1, the rest)
    kept = (1,) * (last - first) if keepdims else ()
    return total.reshape(*x.shape[:first], *kept, *x.shape[last:])


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


use(os.environ.get("TINYGEN_BACKEND") or "numpy")
