"""g is divided by v, not by its root.

score: 24
says: the root is missing
"""


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    v = alpha * v + (1 - alpha) * g**2
    return p - lr * g / (v + eps), v
