"""The energy distance: what can't be compared is refused."""

import math
import re

import numpy as np
import pytest

from tinygen.metrics import energy_distance


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 2)), np.zeros((3, 2)),
         "energy_distance: expected `x` of shape (n, d) with n ≥ 2, got float64 of shape (1, 2)"),
        (np.zeros((3, 2)), np.zeros(3),
         "energy_distance: expected `y` of shape (n, d) with n ≥ 2, got float64 of shape (3,)"),
        (np.zeros((3, 2)), np.zeros((3, 4)),
         "energy_distance: expected rows of one length, got `x` (3, 2) and `y` (3, 4)"),
        (np.zeros((3, 2)), np.array([[0, 1], [math.nan, 0]]),
         "energy_distance: expected finite `y`, got 1 nan or inf in 4"),
    ],
)  # fmt: skip
def test_what_can_not_be_compared_is_refused(x, y, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        energy_distance(x, y)
