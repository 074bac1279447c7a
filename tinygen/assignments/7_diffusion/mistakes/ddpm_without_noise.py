"""The step returns the mean.

score: 28.5
says: no noise is added
"""


def ddpm_step(x_t, eps, t, z, alpha_bar):
    return posterior(predicted_x_0(x_t, eps, t, alpha_bar), x_t, t, alpha_bar)[0]
