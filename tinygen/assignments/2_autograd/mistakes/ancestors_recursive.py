"""The topological order is found by recursion.

score: 27
says: maximum recursion depth exceeded
"""


def ancestors(y):
    order, seen = [], set()

    def visit(z):
        if id(z) not in seen:
            seen.add(id(z))
            for x, _ in z.inputs:
                visit(x)
            order.append(z)

    visit(y)
    return order
