"""Choosing CuPy: proof that it works on this machine, or one sentence that says what is missing.

Reading order: `working`, then the meaning of its errors.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np


def working(device: int) -> ModuleType:
    """CuPy, proven by a kernel that it compiled and ran; or a RuntimeError that says what to do."""
    folders = (name for place in map(Path, sys.path) for name in place.glob("cupy*.dist-info"))
    names = {each.name.partition("-")[0].replace("_", "-") for each in folders}
    packages = sorted(each for each in names if re.fullmatch(r"cupy(-(cuda|rocm).*)?", each))
    if len(packages) > 1:
        raise RuntimeError(
            f"cupy backend: {' and '.join(packages)} are installed and overwrite "
            f"each other; uninstall all, then pip install cupy-cuda12x"
        )
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        if error.name == "cupy":
            raise RuntimeError(
                "cupy backend: CuPy is not installed; pip install 'tinygen[gpu]' (for CUDA 12)"
            ) from error
        raise RuntimeError(
            f"cupy backend: CuPy is installed but can't be imported "
            f"({_gist(error)}); pip install --force-reinstall "
            f"cupy-cuda12x"
        ) from error
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
