"""The distances are squared.

score: 28
says: the distances are squared
"""


def energy_distance(a, b):
    def total(a, b):
        return ((a[:, None] - b) ** 2).sum()

    n, m = len(a), len(b)
    within = total(a, a) / (n * (n - 1)) + total(b, b) / (m * (m - 1))
    return 2 * total(a, b) / (n * m) - within
