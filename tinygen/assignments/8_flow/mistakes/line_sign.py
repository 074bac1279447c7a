"""The velocity leads from data to noise.

score: 24
says: the sign is wrong: from noise to data
"""


def line(z, x, t):
    return (1 - t) * z + t * x, z - x
