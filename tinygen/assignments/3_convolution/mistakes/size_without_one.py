"""The + 1 is forgotten.

score: 16
says: one too few: the first window begins at 0
"""


def output_size(n, k, s=1, p=0):
    return (n + 2 * p - k) // s
