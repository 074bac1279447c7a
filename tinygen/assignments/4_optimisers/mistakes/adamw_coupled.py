"""The weight decay is added to the gradient.

score: 25
says: it is not decoupled
"""


def adamw_step(p, g, state, lr, decay=0.01):
    return adam_step(p, g + decay * p, state, lr)
