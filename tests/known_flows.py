"""Velocity fields that are known in closed form: what a network would learn at best.

Data of a mixture of Gaussians N(μₖ, Sₖ), and noise N(0, I) drawn apart from it: the lines between
them are at time t spread as the mixture of N(t μₖ, Cₖ), Cₖ = (1 − t)² I + t² Sₖ, and their mean
velocity at x is Σ rₖ(x) (μₖ + (t Sₖ − (1 − t) I) Cₖ⁻¹ (x − t μₖ)), with rₖ(x) the probability that
a line at x belongs to the kth.
"""

import numpy as np

import tinygen as tg


class Mixture:
    """All of equal weight. `velocity` is a network v(x, t) of Tensors, float64."""

    def __init__(self, means, covariances):
        self.means, self.covariances = np.asarray(means, float), np.asarray(covariances, float)
        self.D = self.means.shape[1]

    def at(self, t):
        """The means and covariances at time t"""
        return t * self.means, (1 - t) ** 2 * np.eye(self.D) + t * t * self.covariances

    def velocity(self, x, t):
        x, t = tg.as_tensor(x), np.atleast_1d(tg.to_numpy(tg.as_tensor(t).data))
        assert (t == t[0]).all(), "one time for all rows"
        t, flat = float(t[0]), tg.reshape(x, (len(x), self.D))
        logs, velocities = [], []
        for mean, m, C, S in zip(self.means, *self.at(t), self.covariances, strict=True):
            gain = (t * S - (1 - t) * np.eye(self.D)) @ np.linalg.inv(C)
            d = flat - here(m)
            logs.append(
                -0.5 * tg.sum(d * (d @ here(np.linalg.inv(C))), axis=1)
                - 0.5 * float(np.linalg.slogdet(C)[1])
            )
            velocities.append(here(mean) + d @ here(gain.T))
        r = tg.softmax(tg.stack(logs, axis=1), axis=1)  # (N, K)
        v = tg.sum(tg.reshape(r, (len(x), -1, 1)) * tg.stack(velocities, axis=1), axis=1)
        return tg.reshape(v, x.shape)

    def field(self, x, t):
        """The same as a function of an array and a float"""
        with tg.no_grad():
            return self.velocity(x, t).data

    def log_density(self, x, t=1.0):
        logs = []
        for m, C in zip(*self.at(t), strict=True):
            d = x - m
            logs.append(
                -0.5
                * (
                    (d * np.linalg.solve(C, d.T).T).sum(1)
                    + np.linalg.slogdet(C)[1]
                    + self.D * np.log(2 * np.pi)
                )
            )
        return np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))

    def sample(self, n, rng):
        labels = rng.integers(0, len(self.means), n)
        roots = np.linalg.cholesky(self.covariances)
        noise = rng.standard_normal((n, self.D))
        return self.means[labels] + np.einsum("nij,nj->ni", roots[labels], noise), labels


def here(x):
    """An array of the host as a Tensor on the device"""
    return tg.as_tensor(tg.xp.asarray(np.asarray(x, float)))


GAUSSIAN = Mixture([[1.0, -2.0]], [[[0.5, 0.3], [0.3, 0.4]]])
TWO = Mixture([[2.0, 0.0], [-1.0, 1.0]], [[[0.2, 0.05], [0.05, 0.1]], [[0.3, 0.0], [0.0, 0.1]]])


def gaussian_end(x_0):
    """Where `GAUSSIAN`'s flow ends: the axes of S only stretch, from 1 to the root of its value."""
    values, axes = np.linalg.eigh(GAUSSIAN.covariances[0])
    return GAUSSIAN.means[0] + x_0 @ (axes * np.sqrt(values)) @ axes.T
