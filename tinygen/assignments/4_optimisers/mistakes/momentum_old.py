"""The step uses b from before the update.

score: 26
says: the step uses b from before the update
"""


def momentum_step(p, g, b, lr, mu=0.9):
    return p - lr * b, mu * b + g
