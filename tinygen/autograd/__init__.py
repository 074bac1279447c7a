"""Automatic differentiation: tensors, gradients of any order, and every differentiable operation.

Reading order: tensor.py and graph.py (what is recorded, and the way back), functions.py and
shaping.py (the operations), conv.py (geometry.py checks its shapes), normalisation.py. backend.py
and parallel.py choose NumPy or CuPy and use all cores; fast_conv.py is the CPU's faster version.
"""

from typing import TYPE_CHECKING

from tinygen.autograd.backend import *
from tinygen.autograd.conv import *
from tinygen.autograd.functions import *
from tinygen.autograd.graph import *
from tinygen.autograd.normalisation import *
from tinygen.autograd.parallel import *
from tinygen.autograd.shaping import *
from tinygen.autograd.tensor import *

FILES = "backend conv functions graph normalisation parallel shaping tensor".split()
if not TYPE_CHECKING:  # type checkers see through the stars
    __all__ = [name for file in FILES for name in globals()[file].__all__]
