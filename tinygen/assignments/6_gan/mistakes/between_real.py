"""The penalty is at the real points.

score: 22
says: the real points
says: the penalty is at the real points
"""


def between(real, fake, eps):
    return real + 0 * eps * fake
