"""ε and 1 − ε are swapped: the same in distribution, but not as defined.

score: 22
says: ε and 1 − ε are swapped
"""


def between(real, fake, eps):
    return real + eps * (fake - real)
