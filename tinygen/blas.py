"""The matrix product under NumPy: which kernels it runs, and on how many threads.

Nearly all the time of a training step is spent in BLAS, the library behind `x @ w`. Two things
about it are worth knowing, and this file is about nothing else.

1. NumPy's wheels carry OpenBLAS, which picks kernels for the processor once, when NumPy is first
   imported. It knows processors by family, and takes one that is newer than itself for one
   without AVX-512: its products then run at half speed. `choose_kernels` names the AVX-512 kernels
   where Linux says that the processor has them. It can only do so before NumPy is imported,
   which is why `tinygen/__init__.py` imports this file first, and why a program that imports
   `tinygen` before `numpy` may be the faster one.
2. BLAS spreads one product over all cores. Where we spread *blocks* of work over threads
   ourselves (see `backend.spread`), each product must keep to its own: `one_thread()`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NEEDED = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # OpenBLAS: SkylakeX


def _processor_flags() -> set[str]:
    """What the first processor can do, by Linux's account; empty elsewhere."""
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("flags"):
                    return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def choose_kernels() -> None:
    """Ask OpenBLAS for AVX-512 kernels, unless NumPy is loaded or the user has chosen already."""
    if "numpy" not in sys.modules and "OPENBLAS_CORETYPE" not in os.environ:
        if _processor_flags() >= NEEDED:
            os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"


@functools.cache
def _controller() -> Any:
    """The loaded BLAS libraries, found once (it takes milliseconds, so not at import)."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within this context every matrix product keeps to the thread that asked for it."""
    with _controller().limit(limits=1):
        yield


def describe() -> str:
    """The BLAS in use, its kernels, and a hint where they are not the processor's best."""
    libraries = _controller().info()
    if not libraries:
        return "unknown BLAS"
    name, kernels = libraries[0]["internal_api"], libraries[0].get("architecture") or "its own"
    text = f"{name} with {kernels} kernels"
    if name == "openblas" and kernels in ("Haswell", "Zen") and _processor_flags() >= NEEDED:
        text += " (half speed here: import tinygen before numpy, or set OPENBLAS_CORETYPE=SkylakeX)"
    return text
