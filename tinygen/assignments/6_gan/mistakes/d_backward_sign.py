"""The gradient climbs.

score: 24
says: its sign is wrong
"""


def discriminator_backward(g, r, f):
    return g * sigmoid(-r) / len(r), -g * sigmoid(f) / len(f)
