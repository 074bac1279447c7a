"""The loss is a sum over all elements.

score: 25.33
says: a sum over all elements, not a mean
says: sum instead of mean?
"""


def loss(network, x_0, t, eps, alpha_bar):
    return ((network(q_sample(x_0, t, eps, alpha_bar), t) - eps) ** 2).sum()
