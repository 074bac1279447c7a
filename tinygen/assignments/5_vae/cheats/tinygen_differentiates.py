"""tinygen's backward pass in place of a gradient by hand.

says: without tinygen's
"""

import tinygen as tg


def kl_backward(g, mu, log_var):
    inputs = [tg.Tensor(mu, requires_grad=True), tg.Tensor(log_var, requires_grad=True)]
    grads = tg.grad(kl(*inputs), inputs, cotangent=tg.Tensor(g))
    return tuple(a.numpy() for a in grads)
