"""Before a step: gradients that are too large are made smaller, all together or one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinygen._checks import number
from tinygen._types import Array
from tinygen.autograd import Tensor, as_tensor, fused, to_numpy, xp
from tinygen.autograd.parallel import spread
from tinygen.optim.optimizers import gradients_of

__all__ = ["clip_by_global_norm", "clip_values"]


def clip_by_global_norm(grads: Iterable[Tensor], max_norm: float) -> tuple[list[Tensor], float]:
    """g · min(1, c / ‖g‖), and ‖g‖, where ‖g‖² = Σ g² over all gradients  (Pascanu et al. 2013)

    If the norm is not finite the gradients come back as they are, for `step` to say which is not.
    """
    max_norm = number("clip_by_global_norm: expected `max_norm` > 0", max_norm, lambda x: x > 0)
    arrays = [g.data for g in gradients_of("clip_by_global_norm", grads)]
    sums = [each for g in arrays for each in _square_sums(g.reshape(-1))]
    norm = math.sqrt(to_numpy(xp.stack(sums)).sum()) if sums else 0.0  # one wait for a GPU
    if max_norm < norm < math.inf:
        arrays = [g * (max_norm / norm) for g in arrays]
    return [as_tensor(g) for g in arrays], norm


def _square_sums(flat: Array) -> list[Array]:
    """Σ g² of each block, in float64: in float32 it overflows from g = 2·10¹⁹ on"""

    def square_sum(start: int, stop: int) -> Array:
        block = flat[start:stop].astype(np.float64)
        with np.errstate(all="ignore"):
            return xp.dot(block, block)

    return spread(square_sum, flat.size, 8)


@fused
def _clip(g: Array, limit: float) -> Array:
    return xp.where(xp.isinf(g), g, xp.minimum(xp.maximum(g, -limit), limit))


def clip_values(grads: Iterable[Tensor], limit: float) -> list[Tensor]:
    """max(−c, min(g, c)) entry by entry; but what is infinite stays so, for `step` to refuse"""
    limit = number("clip_values: expected `limit` > 0", limit, lambda x: x > 0)
    return [as_tensor(_clip(g.data, limit)) for g in gradients_of("clip_values", grads)]
