"""Everything by einsum, and the variance's gradient before the mean's."""

import numpy as np


def dense_backward(g, x, w, b):
    return np.einsum("nj,ij->ni", g, w), np.einsum("ni,nj->ij", x, g), np.einsum("nj->j", g)


def cross_entropy_backward(g, s, y):
    log_p = s - np.logaddexp.reduce(s, axis=1, keepdims=True)
    onehot = np.zeros_like(s)
    np.put_along_axis(onehot, y[:, None], 1, axis=1)
    return np.einsum(",nk->nk", g / s.shape[0], np.exp(log_p) - onehot)


def layer_norm_backward(g, x, gamma, beta):
    n = x.shape[1]
    mean, var = x.mean(1)[:, None], x.var(1)[:, None] + 1e-5
    g_hat = np.einsum("nc,c->nc", g, gamma)
    g_var = np.sum(g_hat * (x - mean), 1)[:, None] * -0.5 * var**-1.5
    g_mean = -np.sum(g_hat, 1)[:, None] / np.sqrt(var)
    gx = g_hat / np.sqrt(var) + g_var * 2 * (x - mean) / n + g_mean / n
    return gx, np.einsum("nc,nc->c", g, (x - mean) / np.sqrt(var)), g.sum(0)
