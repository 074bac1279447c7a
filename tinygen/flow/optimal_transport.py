r"""Which noise goes to which data: pairs of a batch, such that the way between them is short.

Flow matching learns from lines between noise and data. Drawn at random they cross, so that the
velocity at a point is the mean of many. Of all ways to pair a batch's rows, that with the least sum
of squared distances has no two lines that are at one point at one time: an assignment, found
exactly. In the limit of large batches it is the optimal transport between the two distributions.
(Pooladian et al. 2023; Tong et al. 2024)

Reading order: `couple`, `assignment`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen._batch import as_rows
from tinygen._types import Array
from tinygen.autograd import to_numpy
from tinygen.autograd.parallel import product

__all__ = ["assignment", "couple"]

Host = Array


def couple(x_0: Any, x_1: Any, classes: Any = None) -> Host:
    """The rows of x_0 in the order in which Σ ‖x_1 − x_0‖² is least (Tong et al. 2024)

    Then lines cross less, inside a batch: the target varies less, and paths are straighter. With
    classes rows change places inside each class only. Otherwise noise would go to the class that
    is near, and a class would see but a part of it in training, and in sampling all.
    """
    x_0, x_1 = (to_numpy(as_rows(x).data) for x in (x_0, x_1))
    if x_0.shape != x_1.shape:
        raise ValueError(
            f"couple: expected `x_0` and `x_1` of one shape, got {x_0.shape} and {x_1.shape}"
        )
    label = np.zeros(len(x_1)) if classes is None else to_numpy(as_rows(classes).data)
    if label.shape != x_1.shape[:1]:
        raise ValueError(
            f"couple: expected `classes` {x_1.shape[:1]}, one for each row, got {label.shape}"
        )
    order = np.arange(len(x_1))
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (x_0, x_1))
    for each in np.unique(label):
        rows = np.flatnonzero(label == each)
        # ‖x_1 − x_0‖² = ‖x_1‖² + ‖x_0‖² − 2 x_1·x_0, of which only the last depends on the order
        order[rows] = rows[assignment(product(-b[rows], a[rows].T))]
    coupled: Host = x_0[order]
    return coupled


def assignment(cost: Any) -> Host:
    """For each row of `cost` (n, n) a column of its own, so that the sum of their costs is least

    Each column j has a price, −v_j, and each row is content with a column of least cost − v. Where
    all are content, each with another column, no assignment costs less. An auction finds prices
    that are nearly such; a row that then has none gets one by the shortest path of swaps that ends
    at a free column, which Dijkstra's algorithm finds (Jonker and Volgenant 1987; Crouse 2016).
    """
    cost = np.asarray(cost, np.float64)
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"assignment: expected `cost` (n, n), got {cost.shape}")
    if not np.isfinite(cost).all():
        raise ValueError("assignment: expected finite costs")
    n = len(cost)
    column_of, row_of = np.full(n, -1), np.full(n, -1)
    if n == 0:
        return column_of
    v = _auction(cost)
    u = (cost - v).min(axis=1)  # so that cost − u − v ≥ 0, and = 0 where a row is content
    for i, j in enumerate((cost - v).argmin(axis=1)):
        if row_of[j] < 0:
            row_of[j], column_of[i] = i, j
    for start in np.flatnonzero(column_of < 0):
        distance, before = np.full(n, np.inf), np.full(n, -1)
        visited = np.zeros(n)  # ∞ at columns that are
        rows, columns, row, least = [], [], start, 0.0
        while row >= 0:  # to all columns by way of this row
            by_here = cost[row] - v + (least - u[row]) + visited
            before[by_here < distance] = row
            distance = np.minimum(distance, by_here)
            j = int((distance + visited).argmin())
            least, visited[j] = distance[j], np.inf
            rows.append(row)
            columns.append(j)
            row = row_of[j]
        slack = least - distance[columns]
        v[columns] -= slack
        u[rows] += [least, *slack[:-1]]
        while j >= 0:  # back along the path, each row takes the column that it came by
            row_of[j] = before[j]
            column_of[before[j]], j = j, column_of[before[j]]
    return column_of


def _auction(cost: Host) -> Host:
    """Prices at which, to within a small ε, nearly all rows are content (Bertsekas 1988)

    Rows without a column bid for their best one: what it is worth to them above their second best,
    and ε. One of them has it at that price, and whoever had it is without. From a large ε to ever
    smaller ones, each auction begins with the last one's prices.
    """
    n, spread = len(cost), np.ptp(cost)
    v, eps = np.zeros(n), spread / 4
    while eps > spread / (64 * n):
        column_of, row_of = np.full(n, -1), np.full(n, -1)
        while len(free := np.flatnonzero(column_of < 0)) > n // 16:
            worth, each = cost[free] - v, np.arange(len(free))  # the less the better: (free, n)
            best = worth.argmin(axis=1)
            least = worth[each, best]
            worth[each, best] = np.inf
            bid = v[best] - (worth.min(axis=1) - least) - eps
            last = np.full(n, -1)
            last[best] = each  # of several bids for a column the last counts
            sold = np.flatnonzero(last >= 0)
            last = last[sold]
            outbid = row_of[sold]
            column_of[outbid[outbid >= 0]] = -1
            row_of[sold], column_of[free[last]], v[sold] = free[last], sold, bid[last]
        eps /= 4
    return v
