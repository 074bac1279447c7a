"""Layers and the modules they are: `from tinygen import nn`, then `nn.Dense(784, 20, rng=rng)`.

This page only gathers names. module.py says what a Module is, initializers.py how weights begin;
the layers are in layers.py, norms.py and attention.py.
"""

from tinygen.nn.attention import *
from tinygen.nn.initializers import *
from tinygen.nn.layers import *
from tinygen.nn.module import *
from tinygen.nn.norms import *
