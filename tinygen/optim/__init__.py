"""Optimisers: gradients become steps; learning-rate schedules, clipping and averages.

Reading order: optimizers.py, schedules.py, averaging.py.
"""

from tinygen.optim.averaging import *
from tinygen.optim.optimizers import *
from tinygen.optim.schedules import *
