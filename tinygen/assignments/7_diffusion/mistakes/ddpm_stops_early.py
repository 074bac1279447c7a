"""The step at t = 1 is missing.

score: 28
says: the step at t = 1 is missing
"""


def ddpm(network, x, alpha_bar, rng):
    for t in range(len(alpha_bar) - 1, 1, -1):
        x = ddpm_step(x, predict(network, x, t), t, rng.standard_normal(x.shape), alpha_bar)
    return x
