"""t stays 1.

score: 21
says: t is not counted
"""

import numpy as np


def adam_step(p, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, t = state
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    t = t + 1
    m_hat, v_hat = m / (1 - beta1), v / (1 - beta2)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), (m, v, t)
