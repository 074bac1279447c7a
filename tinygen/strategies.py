"""Hypothesis strategies for property tests: a short name for testing/strategies.py."""

from tinygen.testing.strategies import *
from tinygen.testing.strategies import __all__ as __all__
