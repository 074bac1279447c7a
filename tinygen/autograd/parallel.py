"""Large work, cut into blocks that stay in a core's cache, and shared out over the cores.

NumPy does one thing after another on one core, and walks through memory once for each. Here a
formula over arrays becomes one pass (`fused`), and a product or any job in parts is shared out over
threads: they run at the same time, for NumPy lets go of the interpreter while it computes. A GPU
gets the work whole, or in a few large blocks.

Reading order: `workspace`, `OneBlasThread`, `spread` and `share_out`; `product`, `fused` and
`in_place`, which use them; `add_up`.
"""

from __future__ import annotations

import contextvars
import functools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinygen._types import Array, Shape
from tinygen.autograd import backend
from tinygen.autograd.backend import xp

__all__ = ["fused"]

BLOCK_BYTES = 3 << 20  # what one thread works on at a time: small enough to stay in its cache
WORKSPACE_BYTES = 12 << 20  # what all the threads' blocks together may take
GPU_BLOCK_BYTES = 256 << 20

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


class OneBlasThread:
    """`with one_blas_thread:` BLAS keeps to one thread; afterwards it has as many as before.

    A thread of BLAS that has done its part spins for a while, and takes a core from ours. BLAS has
    one number of threads for the whole process: the first Python thread that comes here sets it to
    1, and the last that leaves restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._restore: list[tuple[Callable[[int], None], int]] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside and backend.on_cpu:
                libraries = backend.blas_threads()
                self._restore = [(set_number, number()) for number, set_number in libraries]
                for _, set_number in libraries:
                    set_number(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for set_number, before in self._restore:
                    set_number(before)


one_blas_thread = OneBlasThread()


@functools.cache
def _helpers(count: int, process: int) -> list[SimpleQueue[Callable[[], None]]]:
    """The queues of `count` threads, started on first use; a forked process starts its own."""

    def serve(jobs: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            jobs.get()()

    queues: list[SimpleQueue[Callable[[], None]]] = [SimpleQueue() for _ in range(count)]
    for jobs in queues:
        threading.Thread(target=serve, args=(jobs,), name="tinygen", daemon=True).start()
    return queues


def block_bytes() -> int:
    """The workspace of one block: what fits a core's cache; a GPU wants few large pieces."""
    if not backend.on_cpu:
        return GPU_BLOCK_BYTES
    return min(BLOCK_BYTES, WORKSPACE_BYTES // backend.threads)


def blocks(start: int, stop: int, bytes_each: int) -> Iterator[tuple[int, int]]:
    """Cut `range(start, stop)` into pieces whose workspace, `bytes_each` an item, is a block's."""
    size = max(1, block_bytes() // max(1, bytes_each))
    for i in range(start, stop, size):
        yield i, min(i + size, stop)


def spread(work: Callable[[int, int], Any], count: int, bytes_each: int) -> list[Any]:
    """Call `work(start, stop)` on blocks of `range(count)`, spread over threads; all its results.

    Each item needs a workspace of `bytes_each`. Results come in order, whichever thread made them.
    """
    share = max(1, -(-count // backend.threads))  # no thread without work
    pieces = [
        p for i in range(0, count, share) for p in blocks(i, min(i + share, count), bytes_each)
    ]
    results: list[Any] = [None] * len(pieces)

    def do(k: int) -> None:
        results[k] = work(*pieces[k])

    share_out(do, len(pieces))
    return results


def share_out(job: Callable[[int], None], count: int) -> None:
    """Call `job` with 0 … count − 1. Each thread, this one too, takes the next that is left."""
    with one_blas_thread:
        # a thread that waited here for others that wait here could wait for ever
        if backend.threads == 1 or count < 2 or getattr(_scratch, "busy", False):
            for k in range(count):
                job(k)
        else:
            _on_threads(job, count)


def _on_threads(job: Callable[[int], None], count: int) -> None:
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

    helpers = _helpers(backend.threads - 1, os.getpid())[: count - 1]
    for jobs in helpers:
        jobs.put(functools.partial(contextvars.copy_context().run, help))  # errstate goes along
    try:
        take()
    finally:
        errors = [ended.get() for _ in helpers]
    for error in filter(None, errors):
        raise error


PRODUCT_FROM = 1 << 21  # multiplications: a smaller product is done before another thread has begun
LIMIT_FROM = 1 << 18  # multiplications: a smaller product OpenBLAS does on one thread by itself


def product(a: Array, b: Array) -> Array:
    """a @ b over the last two axes, on all cores: each makes some rows, columns or matrices.

    Where only one of two stacks of matrices is repeated along the first axis, on one core.
    """
    if a.shape[-1] == 1:
        return a * b  # an outer product: BLAS takes many times as long
    multiplications = a.size * b.shape[-1]
    if backend.plain or multiplications < LIMIT_FROM:
        return a @ b
    if multiplications >= PRODUCT_FROM and backend.threads > 1:
        return _product(a, b, backend.threads)
    with one_blas_thread:
        return a @ b


def _product(a: Array, b: Array, threads: int) -> Array:
    z = np.empty(
        (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]),
        np.result_type(a, b),
    )
    if z.ndim > 2 and len(a) == len(b) == 1 and a.ndim == b.ndim:
        return _product(a[0], b[0], threads)[None]
    if z.ndim == 2:
        axis = 0 if z.shape[0] >= z.shape[1] else 1
    elif a.shape[0] == b.shape[0] and a.ndim == b.ndim:
        axis = -1
    else:
        with one_blas_thread:
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
    kernel = functools.cache(lambda: xp.fuse()(formula))  # type: ignore[attr-defined]

    @functools.wraps(formula)
    def apply(*arrays: Any) -> Any:
        if not backend.on_cpu:
            return kernel()(*arrays)
        largest = max((a.size for a in arrays if isinstance(a, np.ndarray)), default=0)
        if backend.plain or largest < FUSE_FROM:
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
    kernel = functools.cache(lambda: xp.fuse()(formula))  # type: ignore[attr-defined]

    @functools.wraps(formula)
    def apply(*arrays: Any) -> None:
        if not backend.on_cpu:
            kernel()(*arrays)
            return
        whole = [a for a in arrays if isinstance(a, np.ndarray)]
        size = whole[0].size
        if backend.plain or size < FUSE_FROM or not all(a.flags.c_contiguous for a in whole):
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
    if backend.plain:
        return x.sum(axis=axis, keepdims=keepdims)
    axes = sorted(a % x.ndim for a in axis) if isinstance(axis, tuple) else []
    first, last = (axes[0], axes[-1] + 1) if axes else (0, 0)
    between = first < last < x.ndim and axes == list(range(first, last))
    if not between or x.size < 1 << 14 or x.dtype.char not in "fd":
        return x.sum(axis=axis, keepdims=keepdims)
    A, B = math.prod(x.shape[:first]), math.prod(x.shape[first:last])
    with one_blas_thread:  # BLAS splits even a small product of a row and a matrix
        total = xp.ones((1, B), x.dtype) @ x.reshape(A, B, x.size // (A * B))  # (A, 1, the rest)
    kept = (1,) * (last - first) if keepdims else ()
    return total.reshape(*x.shape[:first], *kept, *x.shape[last:])
