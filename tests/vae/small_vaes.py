"""VAEs with a few units, among them one with known p(x) and p(z|x)."""

import math

import numpy as np

import tinygen as tg
from tinygen import nn
from tinygen.vae import VAE, Gaussian

D, P, SIGMA = 2, 4, 0.5  # latent units, pixels, the pixels' standard deviation


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **more):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), **more)


class Affine(nn.Module):
    def __init__(self, weight, bias):
        self.weight, self.bias = (tensor(x, requires_grad=True) for x in (weight, bias))

    def forward(self, x):
        return tg.as_tensor(x) @ self.weight + self.bias


def linear_model(wrong=0.0, seed=0):
    """x = z W + b + σ noise: W has orthogonal rows, so q can be p(z|x). `wrong` moves q off it."""
    rng = generator(seed)
    w = np.linalg.qr(rng.standard_normal((P, D)))[0].T * np.array([[1.5], [0.7]])  # (D, P)
    b = rng.standard_normal(P)
    posterior = 1 / (1 + (w * w).sum(1) / SIGMA**2)  # variances
    gain = (w / SIGMA**2).T * posterior  # (P, D)
    encoder = Affine(
        np.hstack([gain, np.zeros((P, D))]), np.concatenate([-b @ gain, np.log(posterior)]) + wrong
    )
    return VAE(encoder, Affine(w, b), D, likelihood=Gaussian(SIGMA)).astype(float), w, b


def true_log_likelihood(x, w, b):
    covariance = w.T @ w + SIGMA**2 * np.eye(P)
    d = x - b
    return -0.5 * (
        P * math.log(2 * math.pi)
        + np.linalg.slogdet(covariance)[1]
        + (d * np.linalg.solve(covariance, d.T).T).sum(1)
    )


def data(n, w, b, seed=1):
    rng = generator(seed)
    return rng.standard_normal((n, D)) @ w + b + SIGMA * rng.standard_normal((n, P))


def small_model(likelihood=None, classes=None, seed=0):
    rng = generator(seed)
    encoder = nn.Dense(P, 2 * D, rng=rng)
    if classes:
        table = nn.Dense(classes, 2 * D, rng=rng)
        plain = encoder

        class Both(nn.Module):
            def __init__(self):
                self.plain, self.table = plain, table

            def forward(self, x, one_hot):
                return self.plain(x) + self.table(one_hot)

        encoder = Both()
    model = VAE(
        encoder, nn.Dense(D + (classes or 0), P, rng=rng), D, likelihood=likelihood, classes=classes
    )
    return model.astype(float)


def by_hand(model, x, seed):
    """Both terms without Tensors, with the noise that `elbo` samples."""
    h = x @ model.encoder.weight.numpy() + model.encoder.bias.numpy()
    mu, log_var = h[:, :D], h[:, D:]
    z = mu + np.exp(log_var / 2) * generator(seed).standard_normal(mu.shape, np.float32)
    logits = z @ model.decoder.weight.numpy() + model.decoder.bias.numpy()
    p = 1 / (1 + np.exp(-logits))
    reconstruction = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    return reconstruction, 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)


X = np.zeros((3, P))
