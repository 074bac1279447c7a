"""Optimisers: gradients become steps; learning-rate schedules, clipping and averages.

Reading order: optimizers.py, schedules.py, clipping.py, averaging.py.
"""

from tinygen.optim.averaging import EMA
from tinygen.optim.clipping import clip_by_global_norm, clip_values
from tinygen.optim.optimizers import SGD, Adagrad, Adam, AdamW, NotFinite, Optimizer, RMSprop
from tinygen.optim.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    one_cycle,
    step_decay,
    warm_up,
)

__all__ = [
    "EMA",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "NotFinite",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "clip_by_global_norm",
    "clip_values",
    "constant",
    "cosine",
    "exponential",
    "one_cycle",
    "step_decay",
    "warm_up",
]
