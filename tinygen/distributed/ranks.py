"""Several processes train one model together, each on its part of every batch.

    mpirun -n 4 python examples/diffusion_mnist.py

MPI starts n processes and numbers them by their *rank*, 0 to n − 1. All hold the same weights. The
mean over a batch is the mean of the means over its n equal parts, and so is the gradient. So with
averaged gradients all ranks make the step that one process would make with the whole batch:
`Batches` gives each rank its part, `Optimizer.step` averages, and `Run` sets all to one state.

A process that mpirun did not start is alone: it has rank 0 of 1, and imports nothing.
"""

import functools
import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tinygen._types import Array
from tinygen.autograd import to_numpy, xp
from tinygen.autograd.backend import local_ranks

__all__ = ["average", "broadcast", "fail", "largest", "rank", "size"]

STARTED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # variables of Open MPI, and of MPICH and others
PATIENCE = 2.0  # seconds that an error of another rank waits, since rank 0 may report the same one


def size() -> int:
    """The number of ranks"""
    return 1 if _world() is None else _world().Get_size()


def rank() -> int:
    """This process's number, from 0"""
    return 0 if _world() is None else _world().Get_rank()


def average(arrays: Sequence[Array]) -> list[Array]:
    """1/n Σ_r a_r for each array a, with the same bits on every rank

    The arrays travel as one. Rank k receives the k-th part of it from all ranks and adds these in
    the order of the ranks; then all ranks receive all sums. So each sends and receives 2 (n − 1)/n
    of the bytes, however many ranks there are.
    """
    if (n := size()) == 1 or not arrays:
        return list(arrays)
    flat = _sum(xp.concatenate([a.reshape(-1) for a in arrays]))
    flat /= flat.dtype.type(n)
    pieces = xp.split(flat, np.cumsum([a.size for a in arrays])[:-1].tolist())
    alike = zip(pieces, arrays, strict=True)
    return [p.reshape(a.shape).astype(a.dtype, copy=False) for p, a in alike]


def _sum(flat: Any) -> Any:
    if (nccl := _nccl()) is not None:
        cuda: Any = getattr(xp, "cuda")  # noqa: B009 (NumPy has no such name)
        kind = {"f": cuda.nccl.NCCL_FLOAT32, "d": cuda.nccl.NCCL_FLOAT64}[flat.dtype.char]
        at, stream = flat.data.ptr, cuda.get_current_stream().ptr
        nccl.allReduce(at, at, flat.size, kind, cuda.nccl.NCCL_SUM, stream)
        return flat
    parts = np.zeros((size(), -(-flat.size // size())), flat.dtype)
    parts.reshape(-1)[: flat.size] = to_numpy(flat)
    received = np.empty_like(parts)
    _world().Alltoall(parts, received)
    _world().Allgather(received.sum(axis=0), parts)
    return xp.asarray(parts.reshape(-1)[: flat.size])


def largest(*values: float) -> list[float]:
    """For each value, its largest over all ranks"""
    if size() == 1:
        return list(values)
    highest = np.array(values, np.float64)
    _world().Allreduce(_mpi().IN_PLACE, highest, _mpi().MAX)
    return highest.tolist()


def broadcast(arrays: Mapping[str, Any], root: int = 0) -> dict[str, Array]:
    """The arrays of rank `root`, on the host, for every rank; they travel as an .npz file"""
    if size() == 1:
        return {name: np.asarray(array) for name, array in arrays.items()}
    file = io.BytesIO()
    if rank() == root:
        np.savez(file, **arrays)
    content = np.array(file.getbuffer())
    length = np.array([len(content)])
    _world().Bcast(length, root)
    content.resize(length[0])
    _world().Bcast(content, root)
    with np.load(io.BytesIO(content.data), allow_pickle=False) as received:
        return dict(received)


def fail(message: str) -> NoReturn:
    """Print the message and end all ranks with an error."""
    if _world() is None:
        sys.exit(message)
    if rank():
        time.sleep(PATIENCE)
        message = f"rank {rank()}: {message}"
    print(message, file=sys.__stderr__, flush=True)
    _world().Abort(1)
    raise SystemExit(1)


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except ImportError as error:
        sys.exit(f"mpirun needs the package mpi4py: pip install 'tinygen[mpi]' ({error})")
    return MPI


@functools.cache
def _world() -> Any:
    """MPI's communicator of all ranks; None if this process is alone."""
    expected = next((int(os.environ[name]) for name in STARTED if name in os.environ), 1)
    if expected == 1:
        return None
    world = _mpi().COMM_WORLD
    if world.Get_size() != expected:
        sys.exit(f"mpirun started {expected} processes, but mpi4py belongs to another MPI")
    if world.Get_rank():  # rank 0 speaks for all
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    show = sys.excepthook

    def end_all(kind: Any, error: BaseException, trace: Any) -> None:  # the others would wait
        if world.Get_rank():
            time.sleep(PATIENCE)
            sys.stderr = sys.__stderr__
        show(kind, error, trace)
        fail(f"{kind.__name__} ended all {expected} processes")

    sys.excepthook = end_all
    return world


@functools.cache
def _nccl() -> Any:
    """NCCL's communicator, which adds arrays on the GPUs, if each rank has its own; else None."""
    cuda: Any = getattr(xp, "cuda", None)
    if cuda is None or not cuda.nccl.available or local_ranks() > cuda.runtime.getDeviceCount():
        return None
    name = broadcast({"id": np.frombuffer(cuda.nccl.get_unique_id(), np.uint8)})["id"].tobytes()
    return cuda.nccl.NcclCommunicator(size(), name, rank())
