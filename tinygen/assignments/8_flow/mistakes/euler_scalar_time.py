"""t is a number, not a column.

score: 23
says: t has shape (), expected (3, 1)
"""


def euler(velocity, z, n):
    x = z
    for i in range(n):
        x = x + velocity(x, i / n) / n
    return x
