"""The step at t = T is missing.

score: 29
says: the step at t = T is missing
"""


def ddpm(network, x, alpha_bar, rng):
    for t in reversed(range(1, len(alpha_bar) - 1)):
        x = ddpm_step(x, predict(network, x, t), t, rng.standard_normal(x.shape), alpha_bar)
    return x
