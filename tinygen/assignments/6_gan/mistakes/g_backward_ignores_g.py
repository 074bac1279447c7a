"""The cotangent is not used.

score: 25.25
says: g is not used
"""


def generator_backward(g, f):
    return -sigmoid(-f) / len(f)
