"""The step changes p and b in place.

score: 28
says: momentum_step changes in place: p, the state
"""


def momentum_step(p, g, b, lr, mu=0.9):
    b *= mu
    b += g
    p -= lr * b
    return p, b
