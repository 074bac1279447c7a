"""The sampler ignores `times` and takes every step.

score: 29
says: every time is visited, not only those of `times`
"""


def ddim(network, x, alpha_bar, times):
    for t in range(len(alpha_bar) - 1, 0, -1):
        x = ddim_step(x, predict(network, x, t), t, t - 1, alpha_bar)
    return x
