"""Checks of gradients: `gradcheck`, what it measures, how it explains a mistake, and strategies.

Reading order: gradcheck.py compares, differences.py measures, diagnosis.py explains; strategies.py
has hypothesis strategies for random arguments.
"""

from tinygen.testing.diagnosis import Finding, GradientError, Mismatch, compare
from tinygen.testing.gradcheck import Report, gradcheck

__all__ = ["Finding", "GradientError", "Mismatch", "Report", "compare", "gradcheck"]
