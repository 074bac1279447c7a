"""The step is Nesterov's.

score: 26
says: this is Nesterov's momentum
"""


def momentum_step(p, g, b, lr, mu=0.9):
    b = mu * b + g
    return p - lr * (g + mu * b), b
