"""The times increase, as in the forward process.

score: 28
says: the times increase: go from T down to 1
"""


def ddpm(network, x, alpha_bar, rng):
    for t in range(1, len(alpha_bar)):
        x = ddpm_step(x, predict(network, x, t), t, rng.standard_normal(x.shape), alpha_bar)
    return x
