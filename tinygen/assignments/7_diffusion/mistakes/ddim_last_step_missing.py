"""The loop stops one step before the last time.

score: 28
says: the last step is missing
"""


def ddim(network, x, alpha_bar, times):
    for k in range(len(times) - 2):
        t, s = times[k], times[k + 1]
        x = ddim_step(x, predict(network, x, t), t, s, alpha_bar)
    return x
