"""The decay is not multiplied by the learning rate.

score: 25
says: the decay is not multiplied by lr
"""


def adamw_step(p, g, state, lr, decay=0.01):
    return adam_step((1 - decay) * p, g, state, lr)
