"""Data whose best denoiser is a formula: Gaussians, and mixtures of them, in any dimensions.

Plugged in where a network would be, nothing is left to be wrong but what is done with it.
"""

import numpy as np

import tinygen as tg
from tinygen.diffusion import Diffusion


class Known:
    """`model(schedule, predicts)` is a Diffusion with the best network there is for the data."""

    def model(self, schedule, predicts="x_0", **options):
        T = schedule.T

        def network(x, times, classes=None):
            # from what a network is told, the time, to what a formula needs
            t = np.minimum(tg.to_numpy(times.data) * (T / 1000), T)
            a, b = (np.asarray(each)[:, None] for each in schedule.scales(t))
            rows = tg.to_numpy(x.data)
            flat = rows.reshape(len(rows), -1).astype(float)
            x_0 = self.denoise(flat, a, b, None if classes is None else tg.to_numpy(classes.data))
            with np.errstate(all="ignore"):
                eps = (flat - a * x_0) / b
            said = {"x_0": x_0, "eps": eps, "v": a * eps - b * x_0}[predicts]
            return tg.xp.asarray(said.reshape(rows.shape), x.dtype)

        return Diffusion(network, schedule, predicts, **options)


class Gaussian(Known):
    """x_0 ~ N(mean, covariance)"""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = np.asarray(mean, float), np.asarray(covariance, float)
        self.variances, self.axes = np.linalg.eigh(self.covariance)

    def denoise(self, x, a, b, classes=None):
        """E[x_0 | x_t] = μ + a Σ (a² Σ + b² I)⁻¹ (x_t − a μ)"""
        along = (x - a * self.mean) @ self.axes
        gain = a * self.variances / (a * a * self.variances + b * b)
        return self.mean + (gain * along) @ self.axes.T

    def marginal(self, schedule, t):
        """The mean of x_t, and a root of its covariance, rows to be multiplied by from the left"""
        a, b = schedule.scales(t)
        return a * self.mean, np.sqrt(a * a * self.variances + b * b)[:, None] * self.axes.T

    def flow(self, x, schedule, t, s=0):
        """Where the differential equation takes x_t: each axis keeps its place in the marginal"""
        (at_t, _), (at_s, root_s) = (self.marginal(schedule, time) for time in (t, s))
        deviations = np.sqrt(
            [schedule.scales(t)[0] ** 2 * v + schedule.scales(t)[1] ** 2 for v in self.variances]
        )
        return at_s + ((x - at_t) @ self.axes / deviations) @ root_s


class Mixture(Known):
    """Gaussians of deviation `std` at `means`, each as likely; class K, for K means, is "any"."""

    def __init__(self, means, std):
        self.means, self.variance = np.asarray(means, float), std * std

    def denoise(self, x, a, b, classes=None):
        variance = a * a * self.variance + b * b
        d = x[:, None] - a[..., None] * self.means  # (N, K, D)
        log_r = -(d * d).sum(axis=2) / (2 * variance)
        if classes is not None:
            one = classes[:, None] == np.arange(len(self.means))
            log_r = np.where(one | (classes[:, None] == len(self.means)), log_r, -np.inf)
        r = np.exp(log_r - log_r.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        guesses = self.means + (a * self.variance / variance)[..., None] * d
        return (r[..., None] * guesses).sum(axis=1)

    def moments(self):
        centred = self.means - self.means.mean(axis=0)
        return self.means.mean(axis=0), (
            centred.T @ centred / len(self.means) + self.variance * np.eye(self.means.shape[1])
        )
