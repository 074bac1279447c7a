"""The backward pass skips the ReLU.

score: 20
says: after one step these are wrong: w1, b1, γ, β
"""

import numpy as np


def descent_step(x, y, params, lr):
    w1, b1, gamma, beta, w2, b2 = params
    h1 = dense(x, w1, b1)
    h3 = np.maximum(layer_norm(h1, gamma, beta), 0)
    s = dense(h3, w2, b2)
    g = cross_entropy_backward(1.0, s, y)
    g, gw2, gb2 = dense_backward(g, h3, w2, b2)
    g, ggamma, gbeta = layer_norm_backward(g, h1, gamma, beta)
    _, gw1, gb1 = dense_backward(g, x, w1, b1)
    grads = gw1, gb1, ggamma, gbeta, gw2, gb2
    return cross_entropy(s, y), tuple(p - lr * gp for p, gp in zip(params, grads))
