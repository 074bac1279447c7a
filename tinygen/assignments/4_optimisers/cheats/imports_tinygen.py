"""Lets tinygen take the steps.

says: `tinygen` may not be imported
"""

import tinygen as tg


def adam_step(p, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    x = tg.Tensor(p, requires_grad=True)
    tg.optim.Adam([x], lr=lr, betas=(beta1, beta2), eps=eps).step([tg.Tensor(g)])
    return x.numpy(), state


def clip(grads, c):
    return tg.optim.clip_by_global_norm(grads, c)
