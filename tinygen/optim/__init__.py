"""Optimisers, learning-rate schedules, gradient clipping and parameter averages."""

from typing import TYPE_CHECKING

from tinygen._names import missing
from tinygen.optim.averaging import *
from tinygen.optim.optimizers import *
from tinygen.optim.schedules import *

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        raise missing("optim", name)
