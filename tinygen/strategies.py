"""Hypothesis strategies for property tests, under a name of their own: testing/strategies.py."""

from tinygen.testing.strategies import (
    Conv,
    arrays,
    axes,
    broadcastable,
    conv_geometries,
    distinct,
    shapes,
)

__all__ = ["Conv", "arrays", "axes", "broadcastable", "conv_geometries", "distinct", "shapes"]
