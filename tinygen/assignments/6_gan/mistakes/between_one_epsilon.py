"""One coefficient for the whole batch.

score: 22
says: one ε for the whole batch
"""


def between(real, fake, eps):
    return eps[0] * real + (1 - eps[0]) * fake
