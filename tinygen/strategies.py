"""Hypothesis strategies for property tests, under a name of their own: testing/strategies.py."""

from tinygen.testing.strategies import *
from tinygen.testing.strategies import __all__ as __all__
