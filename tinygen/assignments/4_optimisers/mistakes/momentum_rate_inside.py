"""The learning rate multiplies the gradient in b.

score: 28
says: the learning rate belongs in the step, not in b
"""


def momentum_step(p, g, b, lr, mu=0.9):
    b = mu * b + lr * g
    return p - b, b
