"""Corrections in the learning rate and ε, the schedule as a table."""

import numpy as np


def momentum_step(p, g, b, lr, mu=0.9):
    new = np.copy(b)
    new *= mu
    new += g
    return np.subtract(p, lr * new), new


def rmsprop_step(p, g, v, lr, alpha=0.99, eps=1e-8):
    new = v + (1 - alpha) * (g * g - v)
    return p - np.divide(lr * g, eps + new**0.5), new


def adam_step(p, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, t = state
    m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g * g - v)
    c1, c2 = 1 - beta1 ** (t + 1), np.sqrt(1 - beta2 ** (t + 1))
    return p - lr * c2 / c1 * m / (np.sqrt(v) + eps * c2), (m, v, t + 1)


def adamw_step(p, g, state, lr, decay=0.01):
    new, state = adam_step(p, g, state, lr)
    return new - lr * decay * p, state


def clip(grads, c):
    norm = np.linalg.norm(np.concatenate([np.ravel(g) for g in grads]))
    return [g if norm <= c else g / norm * c for g in grads], norm


def rate(t, peak, warm_up, steps, final=0.0):
    rise = [peak * k / (warm_up + 1) for k in range(1, warm_up + 1)]
    angles = np.linspace(0, np.pi, steps - warm_up + 1)
    fall = final + (peak - final) * np.cos(angles / 2) ** 2
    return float(np.append(rise, fall)[min(t, steps)])
