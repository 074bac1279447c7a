"""An unused variable has the gradient 0, a number without the variable's shape.

score: 27.5
says: needs zeros of its own shape
"""


def grad(y, xs, g):
    cotangents = {id(y): g}
    for z in reversed(ancestors(y)):
        for x, gx in pull_back(cotangents[id(z)], z):
            cotangents[id(x)] = cotangents[id(x)] + gx if id(x) in cotangents else gx
    return [cotangents.get(id(x), Tensor(0.0)) for x in xs]
