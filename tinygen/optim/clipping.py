"""Before a step: gradients that are too large are made smaller, all by one factor."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinygen._checks import expect
from tinygen.autograd import Tensor, as_tensor, to_numpy, xp
from tinygen.autograd.parallel import one_blas_thread

__all__ = ["clip_by_global_norm"]


def clip_by_global_norm(grads: Iterable[Tensor], max_norm: float) -> tuple[list[Tensor], float]:
    """g · min(1, c / ‖g‖), and ‖g‖, where ‖g‖² = Σ g² over all gradients  (Pascanu et al. 2013)

    If the norm is not finite the gradients come back as they are, for `step` to say which is not.
    """
    expect("clip_by_global_norm", "> 0", max_norm=max_norm)
    arrays = [as_tensor(g).data for g in grads]
    with np.errstate(all="ignore"), one_blas_thread:  # float32 would overflow from g = 2·10¹⁹ on
        squares = [xp.dot(g, g) for a in arrays for g in [a.reshape(-1).astype(np.float64)]]
    norm = math.sqrt(to_numpy(xp.stack(squares)).sum()) if squares else 0.0  # one wait for a GPU
    if max_norm < norm < math.inf:
        arrays = [g * float(max_norm / norm) for g in arrays]
    return [as_tensor(g) for g in arrays], norm
