"""Several processes train one model together, each on its part of every batch.

    mpirun -n 4 python examples/diffusion_mnist.py

MPI starts n processes and numbers them by their *rank*, 0 to n − 1. All hold the same weights. The
mean over a batch is the mean of the means over its n equal parts, and so is the gradient. So if the
ranks average their gradients, all make the step that one process would make with the whole batch:
`Batches` gives each rank its part, `Optimizer.step` averages, and `Run` sets all to one state.

A process that mpirun did not start has rank 0 of 1 and imports no MPI.
"""

import functools
import importlib
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

    The arrays are concatenated. Rank k receives part k from every rank and adds the parts in the
    order of the ranks; then every rank receives all sums. So a rank sends 2 (n − 1)/n of the bytes.
    NCCL adds on the GPUs, in its own order.
    """
    if (n := size()) == 1 or not arrays:
        return list(arrays)
    flat = _sum(xp.concatenate([a.reshape(-1) for a in arrays]))
    flat /= flat.dtype.type(n)
    pieces = xp.split(flat, np.cumsum([a.size for a in arrays])[:-1].tolist())
    alike = zip(pieces, arrays, strict=True)
    return [p.reshape(a.shape).astype(a.dtype, copy=False) for p, a in alike]


def _sum(flat: Any) -> Any:
    if gpus := _nccl():
        nccl, communicator = gpus
        kind = {"f": nccl.NCCL_FLOAT32, "d": nccl.NCCL_FLOAT64}[flat.dtype.char]
        at, stream = flat.data.ptr, getattr(xp, "cuda").get_current_stream().ptr  # noqa: B009
        communicator.allReduce(at, at, flat.size, kind, nccl.NCCL_SUM, stream)
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
    everyone = np.empty((size(), len(values)))
    _world().Allgather(np.array(values, float), everyone)
    return everyone.max(axis=0).tolist()


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
    _wait_for_rank_0()
    print(f"rank {rank()}: {message}" if rank() else message, file=sys.stderr, flush=True)
    _world().Abort(1)
    raise SystemExit(1)


@functools.cache
def _world() -> Any:
    """MPI's communicator of all ranks; None if this process is alone."""
    expected = next((int(os.environ[name]) for name in STARTED if name in os.environ), 1)
    if expected == 1:
        return None
    try:
        from mpi4py.MPI import COMM_WORLD as world
    except ImportError as error:
        sys.exit(f"running under mpirun needs mpi4py: pip install 'tinygen[mpi]' ({error})")
    if (n := world.Get_size()) != expected:
        other = "it was built for another MPI"
        sys.exit(f"mpirun started {expected} processes, but mpi4py sees {n}: {other}")
    if world.Get_rank():  # rank 0 speaks for all
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    show = sys.excepthook

    def end_all(kind: Any, error: BaseException, trace: Any) -> None:
        """Otherwise the other ranks would wait for this one forever."""
        _wait_for_rank_0()
        show(kind, error, trace)
        fail(f"{kind.__name__} ended all {n} processes")

    sys.excepthook = end_all
    return world


def _wait_for_rank_0() -> None:
    """Before reporting an error: rank 0 may have the same, and ends all when it has reported it."""
    if rank() and sys.stderr is not sys.__stderr__:
        time.sleep(PATIENCE)
        sys.stderr = sys.__stderr__


@functools.cache
def _nccl() -> Any:
    """NCCL, which adds arrays on the GPUs, and its communicator; None unless all can use it."""
    if (cuda := getattr(xp, "cuda", None)) is None:
        return None
    nccl: Any = importlib.import_module(f"{cuda.__name__}.nccl")  # not imported with CuPy
    shared = local_ranks() > cuda.runtime.getDeviceCount()  # NCCL needs a GPU for each rank
    if largest(shared or not nccl.available)[0]:
        return None
    name = broadcast({"id": np.frombuffer(nccl.get_unique_id(), np.uint8)})["id"].tobytes()
    return nccl, nccl.NcclCommunicator(size(), name, rank())
