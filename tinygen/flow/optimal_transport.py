r"""Minibatch optimal transport: pairs of noise and data with short lines between them.

Flow matching learns from lines between noise and data. Random lines cross, so that the velocity at
a point is the mean of many. The pairing of a batch's rows with the least sum of squared distances
has no two lines that meet at the same time. In the limit of large batches it is the optimal
transport between the two distributions. (Pooladian et al. 2023; Tong et al. 2024)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen._batch import as_rows
from tinygen._types import Array, ArrayLike
from tinygen.autograd import to_numpy

__all__ = ["assignment", "optimal_pairs"]


def optimal_pairs(x_0: ArrayLike, x_1: ArrayLike, classes: Any = None) -> Array:
    """The rows of x_0 in the order that minimises Σ ‖x_1 − x_0‖² (Tong et al. 2024)

    Lines within a batch then cross less: the target varies less, and paths are straighter. With
    classes, rows are permuted only within each class. Otherwise a class would be trained only on
    the noise near its data, but sampled from all noise.
    """
    x_0, x_1 = (to_numpy(as_rows(x).data) for x in (x_0, x_1))
    if x_0.shape != x_1.shape:
        raise ValueError(f"optimal_pairs: expected `x_0` as `x_1`, {x_1.shape}, got {x_0.shape}")
    label = np.zeros(len(x_1)) if classes is None else to_numpy(as_rows(classes).data)
    if label.shape != x_1.shape[:1]:
        raise ValueError(f"optimal_pairs: expected `classes` {x_1.shape[:1]}, got {label.shape}")
    order = np.arange(len(x_1))
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (x_0, x_1))
    for k in np.unique(label):
        rows = np.flatnonzero(label == k)
        # ‖x_1 − x_0‖² = ‖x_1‖² + ‖x_0‖² − 2 x_1·x_0; only the last term depends on the order
        order[rows] = rows[assignment(-b[rows] @ a[rows].T)]
    return x_0[order]


def assignment(cost: ArrayLike) -> Array:
    """The least-cost assignment of a column to each row of `cost` (n, n), by SciPy if installed"""
    cost = np.asarray(cost, np.float64)
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1] or not np.isfinite(cost).all():
        raise ValueError(f"assignment: expected `cost` (n, n) of finite numbers, got {cost.shape}")
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        return _by_shortest_paths(cost)
    return linear_sum_assignment(cost)[1]


def _by_shortest_paths(cost: Array) -> Array:
    """Optimal if dual prices u, v have cost − u − v ≥ 0, and = 0 at each row's column

    For each row, Dijkstra's algorithm finds the shortest path of swaps that ends at a free column.
    (Jonker and Volgenant 1987; Crouse 2016)
    """
    n = len(cost)
    u, v, column_of, row_of = np.zeros(n), np.zeros(n), np.full(n, -1), np.full(n, -1)
    for start in range(n):
        distance, before, visited = np.full(n, np.inf), np.full(n, -1), np.zeros(n)  # ∞ if visited
        rows, columns, row, least = [], [], start, 0.0
        while row >= 0:  # shorten the paths to all columns by going through this row
            through_row = cost[row] - v + (least - u[row]) + visited
            before[through_row < distance] = row
            distance = np.minimum(distance, through_row)
            j = int((distance + visited).argmin())
            least, visited[j] = distance[j], np.inf
            rows.append(row)
            columns.append(j)
            row = row_of[j]
        slack = least - distance[columns]
        v[columns] -= slack
        u[rows] += [least, *slack[:-1]]
        while j >= 0:  # back along the path, move each row to the column after it
            row_of[j] = before[j]
            column_of[before[j]], j = j, column_of[before[j]]
    return column_of
