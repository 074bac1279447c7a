"""Checks of gradients: `gradcheck`, what it measures, how it explains a mistake, and strategies.

Reading order: gradcheck.py compares, slopes.py measures, diagnosis.py explains; strategies.py
draws random arguments with hypothesis.
"""

from tinygen.testing.diagnosis import GradientError
from tinygen.testing.gradcheck import Report, gradcheck

__all__ = ["GradientError", "Report", "gradcheck"]
