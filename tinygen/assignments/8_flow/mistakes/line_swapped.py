"""At t = 0 the line is at the data.

score: 24
says: z and x are swapped: t = 0 is noise
"""


def line(z, x, t):
    return (1 - t) * x + t * z, x - z
