"""The probability of 'generated'.

score: 24
says: p and q are swapped
"""


def optimal_discriminator(p, q):
    return q / (p + q)
