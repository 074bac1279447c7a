"""Modules and layers: `from tinygen import nn`, then `nn.Dense(784, 20, rng=rng)`."""

from tinygen.nn.attention import *
from tinygen.nn.initializers import *
from tinygen.nn.layers import *
from tinygen.nn.module import *
from tinygen.nn.norms import *
