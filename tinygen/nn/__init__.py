"""Modules and layers: `from tinygen import nn`, then `nn.Dense(784, 20, rng=rng)`."""

from typing import TYPE_CHECKING

from tinygen._names import missing
from tinygen.nn.attention import *
from tinygen.nn.initializers import *
from tinygen.nn.layers import *
from tinygen.nn.module import *
from tinygen.nn.norms import *

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        raise missing("nn", name)
