"""Element by element."""

import math

import numpy as np


def adam_step(p, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, t = np.array(state[0]), np.array(state[1]), state[2] + 1
    new = np.array(p)
    for k in np.ndindex(*np.shape(p)):
        m[k] = beta1 * m[k] + (1 - beta1) * g[k]
        v[k] = beta2 * v[k] + (1 - beta2) * g[k] ** 2
        new[k] -= lr * m[k] / (1 - beta1**t) / (math.sqrt(v[k] / (1 - beta2**t)) + eps)
    return new, (m, v, t)


def adamw_step(p, g, state, lr, decay=0.01):
    return adam_step(p - lr * decay * p, g, state, lr, 0.9, 0.999, 1e-8)


def rate(t, peak, warm_up, steps, final=0.0):
    if t >= steps:
        return final
    if t >= warm_up:
        half = math.sin(math.pi / 2 * (t - warm_up) / (steps - warm_up)) ** 2
        return peak * (1 - half) + final * half
    return peak - peak * (warm_up - t) / (warm_up + 1)
