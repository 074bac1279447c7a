"""Each factor's gradient is multiplied by that factor, not by the other.

score: 21.43
says: each factor's gradient is z̄ times the other factor
"""


def multiply(x, y):
    return Tensor(x.data * y.data, [(x, lambda g, z: g * x), (y, lambda g, z: g * y)])
