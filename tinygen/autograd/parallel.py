"""Large work, cut into blocks that fit a core's cache and split across threads.

NumPy runs on one core and passes through memory once per operation. Here a formula over arrays is
one pass, and work in parts runs on all cores, as NumPy releases the GIL. A GPU gets it whole.
"""

import contextvars
import functools
import math
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinygen._types import Array, Shape
from tinygen.autograd import backend
from tinygen.autograd.backend import xp

__all__ = ["fused"]

BLOCK_BYTES = 3 << 20  # one thread's block: fits a core's cache
WORKSPACE_BYTES = 12 << 20  # limit for the blocks of all threads together
GPU_BLOCK_BYTES = 256 << 20

_scratch = threading.local()


def workspace(key: str, shape: Shape, dtype: Any) -> Array:
    """An uninitialised array that each thread keeps under `key`: cheaper than fresh memory."""
    count = math.prod(shape)
    kept = getattr(_scratch, key, None)
    if kept is None or kept.size < count or kept.dtype != dtype:
        kept = xp.empty(count, dtype)
        setattr(_scratch, key, kept)
    return kept[:count].reshape(shape)


class OneBlasThread:
    """`with one_blas_thread:` BLAS uses one thread; otherwise its idle threads spin and take cores.

    The number is global: the first to enter sets it to 1, the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._restore: list[tuple[Callable[[int], None], int]] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside and backend.on_cpu:
                self._restore = [(put, get()) for get, put in backend.blas_threads()]
                for put, _ in self._restore:
                    put(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for put, before in self._restore:
                    put(before)


one_blas_thread = OneBlasThread()


@functools.cache
def _helpers(count: int, process: int) -> SimpleQueue[Callable[[], None]]:
    """A queue served by `count` threads, started on first use; a forked process has its own."""
    jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def serve() -> None:
        while True:
            jobs.get()()

    for _ in range(count):
        threading.Thread(target=serve, name="tinygen", daemon=True).start()
    return jobs


def run_jobs(job: Callable[[int], None], count: int) -> None:
    """Call `job(k)` for k = 0 … count − 1. Every thread, this one too, takes the next k left."""
    left, ended = iter(range(count)), SimpleQueue[BaseException | None]()

    def take() -> None:
        _scratch.busy = True
        try:
            for k in left:  # all threads share this iterator
                job(k)
            ended.put(None)
        except BaseException as error:
            for _ in left:  # so that the others stop too
                pass
            ended.put(error)
        _scratch.busy = False

    with one_blas_thread:
        # a nested call stays on its thread: waiting for the others could deadlock
        if backend.threads == 1 or count < 2 or getattr(_scratch, "busy", False):
            for k in left:
                job(k)
            return
        takers = min(backend.threads, count)
        jobs = _helpers(backend.threads - 1, os.getpid())
        for _ in range(takers - 1):
            jobs.put(functools.partial(contextvars.copy_context().run, take))  # keeps np.errstate
        take()
        for error in [ended.get() for _ in range(takers)]:
            if error:
                raise error


def block_bytes() -> int:
    """The workspace of one block: it fits a core's cache; a GPU needs few large blocks."""
    fits = min(BLOCK_BYTES, WORKSPACE_BYTES // backend.threads)
    return fits if backend.on_cpu else GPU_BLOCK_BYTES


def blocks(start: int, stop: int, bytes_each: int) -> Iterator[tuple[int, int]]:
    """Cut `range(start, stop)` into blocks of items that need `bytes_each` of workspace."""
    size = max(1, block_bytes() // max(1, bytes_each))
    for i in range(start, stop, size):
        yield i, min(i + size, stop)


def spread(work: Callable[[int, int], Any], count: int, bytes_each: int) -> list[Any]:
    """Call `work(start, stop)` on blocks of `range(count)` across threads; results in order."""
    part = max(1, -(-count // backend.threads))  # no thread without work
    starts = range(0, count, part)
    pieces = [p for i in starts for p in blocks(i, min(i + part, count), bytes_each)]
    results: list[Any] = [None] * len(pieces)

    def do(k: int) -> None:
        results[k] = work(*pieces[k])

    run_jobs(do, len(pieces))
    return results


# --- products -------------------------------------------------------------------------------------

PRODUCT_FROM = 1 << 21  # multiplications, from which several threads pay off
LIMIT_FROM = 1 << 18  # multiplications, below which OpenBLAS uses one thread anyway


def product(a: Array, b: Array) -> Array:
    """a @ b over the last two axes; its rows, columns or matrices are split across threads."""
    if a.shape[-1] == 1:
        return a * b  # an outer product: many times faster than BLAS
    multiplications, threads = a.size * b.shape[-1], backend.threads
    if backend.plain or multiplications < LIMIT_FROM:
        return a @ b
    stacks = a.ndim == b.ndim > 2 and len(a) == len(b)
    if stacks and len(a) == 1:
        return product(a[0], b[0])[None]
    if multiplications < PRODUCT_FROM or threads == 1 or not (stacks or a.ndim == b.ndim == 2):
        with one_blas_thread:
            return a @ b
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    z, columns = np.empty(shape, np.result_type(a, b)), not stacks and shape[0] < shape[1]
    count = shape[1] if columns else shape[0]

    def job(k: int) -> None:
        part = slice(count * k // threads, count * (k + 1) // threads)
        if columns:
            np.matmul(a, b[:, part], out=z[:, part])
        else:
            np.matmul(a[part], b[part] if stacks else b, out=z[part])

    run_jobs(job, threads)
    return z


def add_up(x: Array, axis: int | Shape | None, keepdims: bool) -> Array:
    """x.sum(axis, keepdims); for a large x over axes before the last, as a product with ones."""
    if isinstance(axis, tuple) and x.size >= 1 << 14 and x.dtype.char in "fd" and not backend.plain:
        axes = [a % x.ndim for a in axis]
        first, last = min(axes, default=0), max(axes, default=0) + 1
        if last - first == len(axes) and last < x.ndim:
            A, B = math.prod(x.shape[:first]), math.prod(x.shape[first:last])
            with one_blas_thread:  # BLAS would use threads even if it is small
                total = xp.ones((1, B), x.dtype) @ x.reshape(A, B, -1)  # (A, 1, the rest)
            kept = (1,) * len(axes) if keepdims else ()
            return total.reshape(*x.shape[:first], *kept, *x.shape[last:])
    return x.sum(axis=axis, keepdims=keepdims)


# --- formulas over arrays as one pass over memory -------------------------------------------------

FUSE_FROM = 1 << 17  # elements, below which one plain call is faster
ARRAYS = 16  # that a block makes room for: more than there are, to stay in the L2 cache


def fused(formula: Callable[..., Array]) -> Callable[..., Any]:
    """Make an elementwise formula over arrays run in one pass over memory.

    NumPy applies it block by block, in cache, on all threads; CuPy as one kernel. Arrays broadcast.
    """

    @functools.wraps(formula)
    def apply(*arrays: Any) -> Any:
        if whole := _for_whole(formula, arrays):
            return whole(*arrays)
        nothing = [np.empty(0, a.dtype) if np.ndim(a) else a for a in arrays]
        z = np.empty(np.broadcast_shapes(*map(np.shape, arrays)), formula(*nothing).dtype)
        write(z, *arrays)
        return z

    @in_place
    def write(z: Array, *arrays: Any) -> None:
        z[...] = formula(*arrays)

    return apply


def in_place(formula: Callable[..., None]) -> Callable[..., None]:
    """`fused` for a formula that changes arrays of the largest shape in place, like `m *= 0.9`."""

    @functools.wraps(formula)
    def apply(*arrays: Any) -> None:
        if whole := _for_whole(formula, arrays):
            whole(*arrays)
        else:
            shape, piece = _cut(arrays)
            row_bytes = math.prod(shape[1:]) * arrays[0].itemsize
            spread(lambda start, stop: formula(*piece(start, stop)), shape[0], ARRAYS * row_bytes)

    return apply


def _for_whole(formula: Callable[..., Any], arrays: tuple[Any, ...]) -> Callable[..., Any] | None:
    """The function for uncut arrays: a kernel on a GPU, the formula if they are small, or None."""
    if not backend.on_cpu:
        return _kernel(formula)
    largest = max((a.size for a in arrays if isinstance(a, np.ndarray)), default=0)
    return formula if backend.plain or largest < FUSE_FROM else None


@functools.cache
def _kernel(formula: Callable[..., Any]) -> Callable[..., Any]:
    return xp.fuse(kernel_name="fused")(formula)  # type: ignore[attr-defined]


def _cut(arrays: tuple[Any, ...]) -> tuple[Shape, Callable[[int, int], list[Any]]]:
    """The arrays' shape, flat if alike and contiguous, and a function that cuts its first axis."""
    shape = np.broadcast_shapes(*map(np.shape, arrays))
    if all(not np.ndim(a) or (a.shape == shape and a.flags.c_contiguous) for a in arrays):
        arrays = tuple(a.reshape(-1) if np.ndim(a) else a for a in arrays)
        shape = (math.prod(shape),)
    cut = [np.ndim(a) == len(shape) and len(a) == shape[0] for a in arrays]
    pairs = list(zip(arrays, cut, strict=True))  # arrays that broadcast along it are passed whole
    return shape, lambda start, stop: [a[start:stop] if c else a for a, c in pairs]
