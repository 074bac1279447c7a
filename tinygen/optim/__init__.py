"""Optimisers, learning-rate schedules, gradient clipping and parameter averages."""

from tinygen.optim.averaging import *
from tinygen.optim.optimizers import *
from tinygen.optim.schedules import *
