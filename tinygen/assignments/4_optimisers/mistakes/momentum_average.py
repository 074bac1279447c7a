"""b is an average, with 1 − μ, not a sum.

score: 25
says: b is a sum here, not an average
"""


def momentum_step(p, g, b, lr, mu=0.9):
    b = mu * b + (1 - mu) * g
    return p - lr * b, b
