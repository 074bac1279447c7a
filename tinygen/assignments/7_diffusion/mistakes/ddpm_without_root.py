"""The noise is scaled by the variance, not by its root.

score: 28.5
says: the noise is scaled by β̃_t, without the root
"""


def ddpm_step(x_t, eps, t, z, alpha_bar):
    mean, variance = posterior(predicted_x_0(x_t, eps, t, alpha_bar), x_t, t, alpha_bar)
    return mean + variance * z
