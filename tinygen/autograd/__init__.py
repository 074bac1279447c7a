"""Automatic differentiation: tensors, gradients of any order, and every differentiable operation.

Reading order: tensor.py, graph.py, functions.py, shaping.py, conv.py with geometry.py,
normalisation.py; for speed and GPUs backend.py, parallel.py and fast_conv.py.
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
if not TYPE_CHECKING:  # type checkers follow the star imports
    __all__ = [name for file in FILES for name in globals()[file].__all__]
