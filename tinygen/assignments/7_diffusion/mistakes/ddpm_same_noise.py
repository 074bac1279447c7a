"""The noise is sampled once, before the loop.

score: 29
says: each step adds the same noise
"""


def ddpm(network, x, alpha_bar, rng):
    z = rng.standard_normal(x.shape)
    for t in range(len(alpha_bar) - 1, 0, -1):
        x = ddpm_step(x, predict(network, x, t), t, z, alpha_bar)
    return x
