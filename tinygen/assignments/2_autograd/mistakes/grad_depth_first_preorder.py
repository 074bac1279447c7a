"""Nodes are listed depth first as they are met, which is not a topological order.

score: 21.67
says: before it has received all of it
"""


def ancestors(y):
    order, seen, stack = [], set(), [y]
    while stack:
        z = stack.pop()
        if id(z) not in seen:
            seen.add(id(z))
            order.append(z)
            stack.extend(x for x, _ in z.inputs)
    return order[::-1]
