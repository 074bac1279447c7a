"""The gradient of the non-saturating loss.

score: 25
says: this is the gradient of the non-saturating loss
"""


def minimax_backward(g, f):
    return -g * sigmoid(-f) / len(f)
