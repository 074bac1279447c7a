"""Everything by einsum, and the softmax by its Jacobian."""

import numpy as np


def dense_backward(g, x, w, b):
    return np.einsum("nj,ij->ni", g, w), np.einsum("ni,nj->ij", x, g), np.einsum("nj->j", g)


def cross_entropy_backward(g, s, y):
    p = np.exp(s - np.max(s, 1)[:, None])
    p = p / np.sum(p, 1)[:, None]
    jacobian = np.einsum("nk,kj->nkj", p, np.eye(s.shape[1])) - np.einsum("nk,nj->nkj", p, p)
    g_p = np.zeros_like(p)
    rows = np.arange(len(y))
    log_g = -g / len(y)
    g_p[rows, y] = log_g / np.maximum(p[rows, y], 1e-300)
    found = np.einsum("nkj,nk->nj", jacobian, g_p)
    certain = p[rows, y] < 1e-200  # p underflows: use the closed form
    found[certain] = -log_g * (p - np.eye(s.shape[1])[y])[certain]
    return found


def layer_norm_backward(g, x, gamma, beta):
    n = x.shape[1]
    mean, var = x.mean(1)[:, None], x.var(1)[:, None] + 1e-5
    g_hat = np.einsum("nc,c->nc", g, gamma)
    g_var = np.sum(g_hat * (x - mean), 1)[:, None] * -0.5 * var**-1.5
    g_mean = -np.sum(g_hat, 1)[:, None] / np.sqrt(var)
    gx = g_hat / np.sqrt(var) + g_var * 2 * (x - mean) / n + g_mean / n
    return gx, np.einsum("nc,nc->c", g, (x - mean) / np.sqrt(var)), g.sum(0)
