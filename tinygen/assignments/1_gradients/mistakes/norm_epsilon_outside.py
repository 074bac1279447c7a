"""ε is added to the standard deviation, outside the root.

score: 21
says: ε is outside the root
"""


def layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=1, keepdims=True)
    return gamma * centred / (x.std(axis=1, keepdims=True) + 1e-5) + beta
