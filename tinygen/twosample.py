"""Whether two sets of points come from one distribution: a number whose mean is 0 if they do.

The energy distance compares how far the points of one set are from those of the other with how far
each set's are from their own. It needs no bins, no bandwidth and no density, and sees any
difference, in any dimensions. (Székely & Rizzo 2013)

Like all such numbers it says little alone. Beside it belongs what two sets that are both real come
to: that is chance, and a model cannot be seen to do better.

Reading order: `energy_distance`, `mean_distance`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.clouds import alike, checked, rows

__all__ = ["energy_distance", "mean_distance"]

Array = np.ndarray[Any, Any]


def energy_distance(x: Any, y: Any) -> float:
    """2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, of sets x (n, d) and y (m, d)

    It is 0 only for equal distributions, else above. This estimate is without bias, for no point
    meets itself, so that for equal ones it is as often below 0. In one dimension it is twice the
    integral of the squared difference of the distribution functions; it scales as the points do.
    """
    x, y = checked("energy_distance", "x", x, 2), checked("energy_distance", "y", y, 2)
    alike("energy_distance", x, y, ("x", "y"))
    n, m = len(x), len(y)
    within_x = mean_distance(x, x) * n / (n - 1)  # without the n zeros of each to itself
    within_y = mean_distance(y, y) * m / (m - 1)
    return 2 * mean_distance(x, y) - within_x - within_y


def mean_distance(x: Array, y: Array) -> float:
    """The mean of ‖xᵢ − yⱼ‖ over all pairs, some rows at a time"""
    y = y.astype(np.float64)
    total = 0.0
    for part in rows(x):
        square = np.zeros((len(part), len(y)))
        for d in range(y.shape[1]):  # of differences: a product would lose the digits of near ones
            square += (part[:, d, None] - y[:, d]) ** 2
        total += float(np.sqrt(square).sum())
    return total / (len(x) * len(y))
