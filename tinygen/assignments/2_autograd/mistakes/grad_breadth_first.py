"""Nodes are visited in the order in which they are met, from the output.

score: 23.67
says: before it has received all of it
"""


def ancestors(y):
    met, seen = [y], {id(y)}
    for z in met:
        for x, _ in z.inputs:
            if id(x) not in seen:
                seen.add(id(x))
                met.append(x)
    return met[::-1]
