"""p is shrunk after the step, the step included.

score: 26
says: p shrinks after Adam's step, not before it
"""


def adamw_step(p, g, state, lr, decay=0.01):
    p, state = adam_step(p, g, state, lr)
    return (1 - lr * decay) * p, state
