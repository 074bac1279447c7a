"""Draws the figures of diffusion*.md, flow*.md and clocks.md.

Most use the optimal denoiser of a mixture of Gaussians, which has a closed form, so that a
network's errors play no part.

Reading order: the mixture and a small network; noise; the bound; scores; sampling paths; sampling
errors; guidance; images; flows; time parameterisations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, bare, canvas
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import tinygen as tg
from tinygen import data, flow, image, models, nn, optim
from tinygen.data import points_2d
from tinygen.diffusion import Diffusion, NoiseSchedule, cosine, editing, linear, samplers
from tinygen.flow import ode

SEED = 5
SHADES = LinearSegmentedColormap.from_list("shades", ["white", "#a6cfe8", BLUE, "#00304d"], N=48)
Array = np.ndarray[Any, Any]


# --- the mixture, and a small network -------------------------------------------------------------


class Mixture:
    """Equally likely N(means[k], std² I), means (K, D); class `labels.max() + 1` is "any"."""

    def __init__(self, means: Any, std: float, labels: Any = None) -> None:
        self.means, self.std = np.asarray(means, float), std
        self.labels = np.arange(len(self.means)) if labels is None else np.asarray(labels)
        self.squares = (self.means**2).sum(axis=1)

    def log_parts(self, x: Array, a: float, b: float) -> Array:
        """log N(x; a μₖ, a² std² + b²) of each k, up to a constant: (N, K)"""
        D, variance = x.shape[1], (a * self.std) ** 2 + b * b
        square = (x**2).sum(axis=1)[:, None] - 2 * a * x @ self.means.T + a * a * self.squares
        return -square / (2 * variance) - D / 2 * np.log(variance)

    def log_density(self, x: Array, a: float = 1.0, b: float = 0.0) -> Array:
        """log p(a x_0 + b ε = x), up to a constant: (N,)"""
        return np.logaddexp.reduce(self.log_parts(x, a, b), axis=1)

    def denoise(self, x: Array, a: float, b: float, classes: Any = None) -> Array:
        """E[x_0 | a x_0 + b ε = x]"""
        log_r = self.log_parts(x, a, b)
        if classes is not None:
            wanted = np.asarray(classes)[:, None]
            others = (wanted != self.labels) & (wanted != self.labels.max() + 1)
            log_r = np.where(others, -np.inf, log_r)
        r = np.exp(log_r - log_r.max(axis=1, keepdims=True))
        mean = r @ self.means / r.sum(axis=1, keepdims=True)
        gain = a * self.std**2 / ((a * self.std) ** 2 + b * b)
        return mean + gain * (x - a * mean)

    def model(self, schedule: NoiseSchedule) -> Diffusion:
        def network(x: Any, times: Any, classes: Any = None) -> Array:
            t = min(float(times.data[0]) * schedule.T / 1000, schedule.T)
            flat = x.data.reshape(len(x), -1)
            labels = None if classes is None else classes.data
            return self.denoise(flat, *schedule.scales(t), labels).reshape(x.shape)

        return Diffusion(network, schedule, "x_0")

    def velocity(self, x: Array, t: float) -> Array:
        """E[x_1 − x_0 | t x_1 + (1 − t) x_0 = x], where x_0 is noise"""
        if t == 1:  # x_1 = x, and E[x_0] = 0
            return x
        return (self.denoise(x, t, 1 - t) - x) / (1 - t)


class Points(nn.Module):
    """A velocity field: an MLP of x and a sinusoidal embedding of t, from 0 to 1."""

    def __init__(self, width: int, layers: int = 3) -> None:
        sizes = [2 + 8, *[width] * layers, 2]
        self.net = models.mlp(sizes, tg.silu, rng=np.random.default_rng(SEED))

    def forward(self, x: Any, t: Any) -> Any:
        angles = t.reshape(-1, 1) * np.array([1, 2, 4, 8], np.float32) * np.float32(np.pi)
        return self.net(tg.concat([x, tg.sin(angles), tg.cos(angles)], axis=1))


RING = Mixture(points_2d.ring_means(5), 0.12)
LINE = Mixture([[-1.0], [0.2], [1.1]], 0.12)  # in one dimension, to plot against time


def normal(*shape: int, seed: int = SEED) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def plane(size: float, count: int) -> tuple[Array, list[float]]:
    """A square grid of points around 0, (count², 2), and its `extent` for `imshow`"""
    ticks = np.linspace(-size, size, count)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2), [-size, size, -size, size]


def shade(ax: Axes, log_p: Array, extent: Any, top: float | None = None) -> None:
    """Show a density on a grid; the darkest colour is `top`, by default the maximum"""
    side = round(np.sqrt(log_p.size))
    p = np.exp(log_p - log_p.max()) if top is None else np.exp(log_p)
    bare(ax).imshow(
        p.reshape(side, side),
        extent=extent,
        origin="lower",
        cmap=SHADES,
        vmin=0,
        vmax=1 if top is None else top,
        interpolation="bilinear",
    )


# --- noise ----------------------------------------------------------------------------------------


def diffusion_forward() -> Figure:
    """The scales of image and noise for two schedules, and an image at nine times."""
    T = 1000
    figure = canvas(10, 2.7)
    left, right = figure.subplots(1, 2, width_ratios=[1, 2.2])
    t = np.arange(T + 1)
    digit = 2 * data.load("digits", train=20, test=0)[0].images[[9]] - 1
    eps = normal(*digit.shape).astype(np.float32)
    rows = {}
    for name, schedule, colour, at in (
        ("linear", linear(T), BLUE, 540),
        ("cosine", cosine(T), RED, 700),
    ):
        a, b = schedule.scales(t)
        left.plot(t / T, a, color=colour)
        left.plot(t / T, b, color=colour, linestyle="--", linewidth=1.3)
        left.annotate(name, (at / T, a[at]), (6, 4), textcoords="offset points", color=colour)
        shown = [schedule.q_sample(digit, time, eps) for time in range(0, T + 1, T // 8)]
        # one grey scale for all times, from −2.5 to 2.5
        rows[name] = np.concatenate(shown) / 5 + 0.5
    left.set(xlabel="t / T")
    left.set_title("√ᾱ (solid) and √(1−ᾱ) (dashed)")
    image.compare(right, rows, columns=9)
    width = right.get_xlim()[1] / 9
    right.set_xticks(width * (np.arange(9) + 0.5), ["t / T = 0", *"⅛ ¼ ⅜ ½ ⅝ ¾ ⅞".split(), "1"])
    right.set_title("One image and one ε: x_t at nine times")
    return figure


# --- the bound ------------------------------------------------------------------------------------


def diffusion_bound() -> Figure:
    """The weights of the bound and the simple loss, and the optimal denoiser's error, at each t."""
    T = 1000
    schedule, t = linear(T), np.arange(2, T + 1)
    weight = 0.5 * (schedule.snr(t - 1) - schedule.snr(t)) / schedule.snr(t)
    rng = np.random.default_rng(SEED)
    x = points_2d.mixture(4000, RING.means, RING.std, rng=rng).points.astype(float)
    eps = rng.standard_normal(x.shape)
    times = np.unique(np.geomspace(2, T, 120).round().astype(int))
    errors = []
    for time in times:
        a, b = schedule.scales(time)
        x_t = a * x + b * eps
        eps_hat = (x_t - a * RING.denoise(x_t, a, b)) / b
        errors.append(((eps - eps_hat) ** 2).sum(axis=1).mean())
    error = np.interp(t, times, errors)
    figure = canvas(10, 3.4)
    left, middle, right = figure.subplots(1, 3)
    for name, w, colour in (("bound", weight, RED), ("simple loss", 1 + 0 * weight, BLUE)):
        left.loglog(t, w / w.mean(), color=colour, label=name)
        right.semilogx(t, np.cumsum(w * error) / (w * error).sum(), color=colour)
    left.set_title("Weight of ‖ε − ε̂‖², mean 1")
    left.legend()
    middle.semilogx(times, errors, color=INK)
    middle.set(ylim=(0, 2.1))
    middle.set_title("‖ε − ε̂‖² of the optimal denoiser")
    right.set_title("Their product, cumulative")
    for ax in (left, middle, right):
        ax.set(xlabel="t (T = 1,000)", xticks=[1, 10, 100, 1000], xticklabels=[1, 10, 100, 1000])
        ax.minorticks_off()
    left.set(yticks=[1, 10], yticklabels=[1, 10])
    return figure


# --- scores ---------------------------------------------------------------------------------------


def diffusion_score() -> Figure:
    """Density and score of x_0 + σ ε at three noise levels."""
    figure = canvas(10, 3.7)
    for ax, sigma in zip(figure.subplots(1, 3), (0.15, 0.45, 1.2), strict=True):
        x, extent = plane(2.2, 161)
        shade(ax, RING.log_density(x, 1, sigma), extent)
        x, _ = plane(2.0, 15)
        step = RING.denoise(x, 1, sigma) - x
        ax.quiver(*x.T, *step.T, angles="xy", scale_units="xy", scale=4, color=RED, width=0.005)
        ax.plot(*RING.means.T, "o", color="white", markeredgecolor=INK, markersize=5)
        ax.set_title(f"σ = {sigma}")
    return figure


# --- sampling paths -------------------------------------------------------------------------------


def diffusion_paths() -> Figure:
    """Eight ancestral and eight DDIM paths in one dimension, over the density at each time."""
    T = 1000
    schedule = cosine(T)
    model = LINE.model(schedule)
    times, x = np.linspace(0, T, 251), np.linspace(-3, 3, 301)
    columns = [np.exp(LINE.log_density(x[:, None], *schedule.scales(t))) for t in times]
    # scaled at each time, otherwise only the end would be visible
    density = np.array([column / column.max() for column in columns]).T
    noise = np.linspace(-1.75, 1.75, 8)[:, None]
    figure = canvas(10, 4.2)
    axes = figure.subplots(1, 2, sharey=True)
    ancestral = samplers.ancestral(model, noise, rng=np.random.default_rng(SEED))
    kinds = {
        "Ancestral: fresh noise at each of 1,000 steps": ancestral,
        "DDIM from the same x_T: deterministic": samplers.ddim(model, noise, steps=T),
    }
    for ax, (name, steps) in zip(axes, kinds.items(), strict=True):
        ax.imshow(
            density,
            extent=(0, 1, -3, 3),
            origin="lower",
            aspect="auto",
            cmap=SHADES,
            interpolation="bilinear",
            alpha=0.75,
        )
        paths = np.array([noise, *(step.x for step in steps)])[..., 0]
        ax.plot(np.linspace(1, 0, T + 1), paths, color=RED, linewidth=0.7)
        ax.grid(False)
        ax.set(xlim=(1, 0), ylim=(-2.6, 2.6), xlabel="t / T")
        ax.set_title(name)
    axes[0].set_ylabel("x_t")
    return figure


# --- sampling errors ------------------------------------------------------------------------------


def diffusion_order() -> Figure:
    """Errors of samplers against network calls: of each point, and of the samples' variance."""
    schedule, noise = linear(1000), normal(400, 2)
    model = RING.model(schedule)
    figure = canvas(10, 4.2)
    left, right = figure.subplots(1, 2)

    def grid(steps: int) -> list[float]:
        return samplers.edm_sigmas(schedule, steps, high=float(schedule.sigma(schedule.T)))

    exact = samplers.last(samplers.heun(model, noise, sigmas=grid(1500)))
    kinds: dict[str, tuple[Callable[[int], Any], int, str, str]] = {
        "ddim": (lambda n: samplers.ddim(model, noise, steps=n), 1, BLUE, "o"),
        "multistep": (lambda n: samplers.multistep(model, noise, sigmas=grid(n)), 1, GREEN, "s"),
        "heun": (lambda n: samplers.heun(model, noise, sigmas=grid(n)), 2, RED, "^"),
    }
    for name, (sampler, calls, colour, marker) in kinds.items():
        counts = np.array([5, 10, 20, 40, 80, 160, 320]) // calls + (calls == 2)
        errors = [
            np.sqrt(((samplers.last(sampler(n)) - exact) ** 2).sum(axis=1).mean())
            for n in counts.tolist()
        ]
        left.loglog(
            calls * counts - (calls == 2),
            errors,
            marker + "-",
            color=colour,
            markersize=5,
            linewidth=1.2,
            label=name,
        )
    guide(left, 1, 0.05)
    guide(left, 2, 0.008)
    left.set(xlabel="network calls, n", ylabel="RMS error of the samples")
    left.set_title("Five Gaussians on a ring")
    left.legend(loc="lower left")
    counts = np.array([5, 10, 20, 40, 80, 160, 320])
    for name, eta, colour, marker in (
        ("η = 0: DDIM", 0.0, BLUE, "o"),
        ("η = ½", 0.5, PURPLE, "D"),
        ("η = 1: ancestral", 1.0, ORANGE, "s"),
    ):
        errors = [abs(variance(schedule, n, eta) / 0.25 - 1) for n in counts.tolist()]
        right.loglog(
            counts, errors, marker + "-", color=colour, markersize=5, linewidth=1.2, label=name
        )
    guide(right, 1, 0.5)
    right.set(xlabel="network calls, n", ylabel="relative error of the variance")
    right.set_title("One Gaussian, N(0, ¼)")
    right.legend(loc="lower left")
    right.set(
        yticks=[0.02, 0.05, 0.1, 0.2, 0.5, 1],
        yticklabels=["0.02", "0.05", "0.1", "0.2", "0.5", "1"],
    )
    for ax in (left, right):
        ax.set(xticks=counts, xticklabels=counts)
        ax.minorticks_off()
    return figure


def guide(ax: Axes, order: int, at: float) -> None:
    """A dotted line proportional to 1/n or 1/n², equal to `at` at n = 80"""
    n = np.array([80, 320])
    ax.loglog(n, at * (n / 80) ** -float(order), color=GREY, linewidth=1.2, linestyle=":")
    ax.annotate(
        "1/n" + "²" * (order == 2),
        (80, at),
        (-1, 3),
        textcoords="offset points",
        color=GREY,
        ha="right",
    )


def variance(schedule: NoiseSchedule, steps: int, eta: float) -> float:
    """The variance of DDIM's samples for x_0 ~ N(0, ¼), exactly, since each step is linear"""
    found = 1.0
    for t, s in pairwise(schedule.times(steps)):
        (a, b), (a_s, b_s) = schedule.scales(t), schedule.scales(s)
        gain = 0.25 * a / (0.25 * a * a + b * b)  # x̂_0 = gain x_t
        added = (eta * b_s / b) ** 2 * (1 - (a / a_s) ** 2)
        found = (a_s * gain + np.sqrt(b_s**2 - added) * (1 - a * gain) / b) ** 2 * found + added
    return float(found)


# --- guidance -------------------------------------------------------------------------------------


def diffusion_guidance() -> Figure:
    """Samples of one class of three with four guidance weights, over p(x) p(c|x)^w."""
    model = THREE.model(cosine(1000))
    noise = normal(1000, 2)
    classes = np.zeros(len(noise), int)
    x, extent = plane(2.8, 161)
    figure = canvas(10, 2.7)
    own = THREE.labels == 0
    for ax, weight in zip(figure.subplots(1, 4), (0, 1, 2, 5), strict=True):
        parts = THREE.log_parts(x, 1, 0)
        log_p = np.logaddexp.reduce(parts, axis=1)
        shade(ax, log_p + weight * (np.logaddexp.reduce(parts[:, own], axis=1) - log_p), extent)
        guided = samplers.guided(model, weight, 3)
        samples = samplers.last(samplers.heun(guided, noise, classes, steps=60))
        ax.plot(*samples.T, ".", color=RED, markersize=2.4, alpha=0.8, markeredgewidth=0)
        ax.plot(*THREE.means[own].T, "o", color="white", markeredgecolor=INK, markersize=5)
        ax.plot(*THREE.means[~own].T, "x", color=INK, markersize=5)
        ax.set(xlim=(-2.5, 2.2), ylim=(-2.1, 2.8))
        ax.set_title(f"w = {weight}")
    return figure


THREE = Mixture(
    [[-0.9, 0.3], [0.0, 0.9], [0.9, -0.3], [0.1, -1.1], [-1.1, -0.9]], 0.45, [0, 0, 1, 1, 2]
)


# --- images ---------------------------------------------------------------------------------------


def diffusion_restore() -> Figure:
    """Inpainted and edited digits, by the optimal denoiser of 4,000 synthetic digits."""
    train, test = data.load("digits", train=4000, test=200)
    digits = Mixture(2 * train.images.reshape(-1, 784) - 1, 0.1, train.labels)
    model, rng = digits.model(cosine(1000)), np.random.default_rng(SEED)
    x = 2 * test.images[[int(np.flatnonzero(test.labels == k)[0]) for k in range(8)]] - 1
    noise = normal(*x.shape)
    mask = np.zeros((28, 28, 1))
    mask[:, :14] = 1
    inpainted = {"image": x, "known half": np.where(mask, x, 0)}
    for resample in (1, 10):
        steps = editing.repaint(
            model, noise, x, mask, rng=np.random.default_rng(1), steps=30, resample=resample
        )
        inpainted[f"resample = {resample}"] = samplers.last(steps)
    edited = {"image": x}
    for start in (300, 600, 900):
        steps = editing.edit(model, x, start, (np.arange(8) + 3) % 10, rng=rng, steps=30)
        edited[f"start = {start}"] = samplers.last(steps)
    figure = canvas(10, 2.7)
    titles = {"Inpainting": inpainted, "Editing to the digit plus three": edited}
    for ax, (title, rows) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        image.compare(ax, {k: np.clip(y / 2 + 0.5, 0, 1) for k, y in rows.items()}, columns=8)
        ax.set_title(title)
    return figure


# --- flows ----------------------------------------------------------------------------------------

WHEEL = Mixture(points_2d.ring_means(6, 2.6), 0.25)


def flow_crossing() -> Figure:
    """Lines between random and between optimal pairs, and the flow of the random pairs."""
    rng = np.random.default_rng(SEED)
    noise = rng.standard_normal((40, 2))
    ends = points_2d.mixture(40, WHEEL.means, WHEEL.std, rng=rng).points.astype(float)
    paired = flow.optimal_pairs(noise, ends)
    times = np.linspace(0, 1, 101)
    kinds = {
        "Random pairs": noise + times[:, None, None] * (ends - noise),
        "Optimal pairs": paired + times[:, None, None] * (ends - paired),
        "Flow of random pairs": np.stack(list(ode.path(WHEEL.velocity, noise, times))),
    }
    shades = LinearSegmentedColormap.from_list("time", [ORANGE, "#d0d0d0", BLUE])
    figure = canvas(10, 3.5)
    for ax, (name, paths) in zip(figure.subplots(1, 3), kinds.items(), strict=True):
        bare(ax)
        for x in paths.swapaxes(0, 1):
            segments = np.stack([x[:-1], x[1:]], axis=1)
            ax.add_collection(
                LineCollection(segments, array=times[1:], cmap=shades, capstyle="round")
            )
        ax.plot(*paths[0].T, "o", color=ORANGE, markersize=3)
        ax.plot(*paths[-1].T, "o", color=BLUE, markersize=3)
        length = np.linalg.norm(np.diff(paths, axis=0), axis=-1).sum(axis=0).mean()
        ax.set(aspect="equal", xlim=(-3.5, 3.5), ylim=(-3.1, 3.1))
        ax.set_title(f"{name}: mean length {length:.2f}")
    return figure


@functools.cache
def trained(kind: str) -> Points:
    """A flow to WHEEL, trained on "random", "minibatch_ot" or "reflow" pairs."""
    network, rng = Points(64), np.random.default_rng(SEED)
    steps, ema = 1200, optim.EMA(network.parameters(), 0.99)
    optimizer = optim.Adam(network.parameters(), optim.cosine(5e-3, steps))
    x = points_2d.mixture(steps * 128, WHEEL.means, WHEEL.std, rng=rng).points
    loss: Any = partial(flow.flow_loss, minibatch_ot=kind == "minibatch_ot")
    if kind == "reflow":
        x_0 = normal(20_000, 2).astype(np.float32)
        x, loss = flow.reflow_pairs(trained("random"), x_0, size=20_000), flow.reflow_loss
    batches = data.Batches(x, 128, rng=rng)
    for _, _ in zip(
        range(steps),
        flow.train(network, batches, optimizer, rng=rng, ema=ema, loss=loss),
        strict=False,
    ):
        pass
    with ema.applied():
        averages = [p.data.copy() for p in network.parameters()]
    for p, average in zip(network.parameters(), averages, strict=True):
        p.data[...] = average
    return network


def flow_reflow() -> Figure:
    """One Euler step along three flows, and the error against the number of steps."""
    x_0 = normal(800, 2, seed=SEED + 1).astype(np.float32)
    counts = [1, 2, 4, 8, 16, 32]
    figure = canvas(10, 2.9)
    *axes, right = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.25])
    for ax, (kind, name, colour) in zip(
        axes,
        (
            ("random", "Random pairs", RED),
            ("minibatch_ot", "Minibatch OT", ORANGE),
            ("reflow", "Reflow", BLUE),
        ),
        strict=True,
    ):
        f = flow.velocity(trained(kind))
        end = ode.solve(f, x_0, (0, 1), ode.Adaptive())
        ends = [ode.solve(f, x_0, np.linspace(0, 1, n + 1), ode.euler) for n in counts]
        bare(ax).plot(*end.T, ".", color=GREY, markersize=2)
        ax.plot(*ends[0].T, ".", color=colour, markersize=2)
        ax.set(aspect="equal", xlim=(-3.6, 3.6), ylim=(-3.6, 3.6))
        ax.set_title(name)
        errors = [np.sqrt(((x - end) ** 2).sum(axis=1).mean()) for x in ends]
        right.loglog(counts, errors, "o-", color=colour, markersize=4, linewidth=1.2)
    right.set(xlabel="Euler steps", xticks=counts, xticklabels=counts)
    right.minorticks_off()
    right.set_title("RMS error of the endpoint")
    return figure


def flow_density() -> Figure:
    """A spiral's density, the density that a flow learned from its points, and samples."""
    turn = np.linspace(0.8, 3.6, 60) * np.pi
    means = 0.21 * turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    network, rng = Points(96), np.random.default_rng(SEED)
    steps, std, ema = 4000, 0.18, optim.EMA(network.parameters(), 0.995)
    optimizer = optim.Adam(network.parameters(), optim.cosine(5e-3, steps))
    batches = data.Batches(points_2d.mixture(steps * 256, means, std, rng=rng).points, 256, rng=rng)
    for _, _ in zip(
        range(steps), flow.train(network, batches, optimizer, rng=rng, ema=ema), strict=False
    ):
        pass
    grid, extent = plane(2.9, 90)
    held = points_2d.mixture(2000, means, std, rng=rng).points
    times = np.linspace(1, 0, 25)
    with ema.applied():
        learned, learned_held = (
            flow.log_likelihood(network, x, times=times, step=ode.heun, size=len(x))
            for x in (grid.astype(np.float32), held)
        )
        samples = flow.sample(network, (2000, 2), rng=rng, steps=24, size=2000)
    figure = canvas(10, 3.6)
    truth, true_held = (points_2d.log_density(x, means, std) for x in (grid, held))
    left, middle, right = figure.subplots(1, 3)
    top = np.exp(truth.max())
    shade(left, truth, extent, top)
    shade(middle, learned, extent, top)
    bare(right).plot(*samples.T, ".", color=BLUE, markersize=2)
    right.set(aspect="equal", xlim=extent[:2], ylim=extent[2:])
    left.set_title(f"True density: mean log p −{-true_held.mean():.2f}")
    middle.set_title(f"Learned density: −{-learned_held.mean():.2f}")
    right.set_title("Samples")
    return figure


# --- time parameterisations -----------------------------------------------------------------------

SIGMAS = np.exp(np.linspace(-4, 4, 401))


def clocks_plane() -> Figure:
    """Three interpolations in the plane of a and b, and σ along four schedules."""
    figure = canvas(10, 4)
    left, right = figure.subplots(1, 2)
    angle = np.linspace(0, np.pi / 2, 100)
    curves = {
        "x + σ ε  (Karras et al.)": (np.ones(2), np.array([0, 1.55]), GREEN),
        "√ᾱ x + √(1−ᾱ) ε  (diffusion)": (np.cos(angle), np.sin(angle), RED),
        "t x + (1−t) ε  (flow)": (np.array([1, 0]), np.array([0, 1]), BLUE),
    }
    for sigma in (0.25, 0.5, 1, 2, 4):
        end = np.array([1, sigma]) * min(1.15, 1.5 / sigma)
        left.plot([0, end[0]], [0, end[1]], color=GREY, linewidth=0.8, linestyle=":")
        left.annotate(
            f"σ = {sigma:g}", end, (3, 2), textcoords="offset points", color=GREY, fontsize=9
        )
        root = np.sqrt(1 + sigma * sigma)
        for scale, colour in ((1, GREEN), (1 / root, RED), (1 / (1 + sigma), BLUE)):
            if scale * sigma < 1.6:
                left.plot(scale, scale * sigma, "o", color=colour, markersize=5)
    for name, (a, b, colour) in curves.items():
        left.plot(a, b, color=colour, label=name)
    left.set(
        xlabel="a, scale of the data",
        ylabel="b, scale of the noise",
        aspect="equal",
        xlim=(-0.03, 2.33),
        ylim=(-0.03, 1.75),
        xticks=(0, 0.5, 1),
    )
    left.set_title("Three interpolations: one ray, one σ")
    left.legend(loc="upper right", bbox_to_anchor=(1.03, 1.0))
    t = np.linspace(0, 1, 201)
    T = 1000
    schedules = {
        "diffusion, linear": (linear(T).sigma(t[1:] * T), t[1:], RED, "--"),
        "diffusion, cosine": (cosine(T).sigma(t[1:] * T), t[1:], RED, "-"),
        "flow": (t[1:-1] / (1 - t[1:-1]), t[1:-1], BLUE, "-"),
        "Karras et al.": (samplers.edm_sigmas(linear(T), 201)[-2::-1], t, GREEN, "-"),
    }
    for name, (sigma, time, colour, style) in schedules.items():
        right.semilogy(time, sigma, style, color=colour, label=name)
    right.set(xlabel="time, from data (0) to noise (1)", ylabel="σ", ylim=(0.005, 200))
    right.set_title("Four schedules: σ over time")
    right.legend(loc="lower right")
    return figure


def clocks_weights() -> Figure:
    """The weight of ‖ε − ε̂‖² in each loss per unit of log σ, and the optimal denoiser's loss."""
    rng = np.random.default_rng(SEED)
    x = points_2d.mixture(3000, RING.means, RING.std, rng=rng).points.astype(float)
    eps = rng.standard_normal(x.shape)
    error = np.array(
        [((x - RING.denoise(x + s * eps, 1, s)) ** 2).sum(axis=1).mean() / s**2 for s in SIGMAS]
    )
    curves = {
        "bound": (SIGMAS, np.ones(len(SIGMAS)), INK),
        "ε, linear": (*log_sigma_density(linear(1000)), ORANGE),
        "ε, cosine": (*log_sigma_density(cosine(1000)), RED),
        "flow; v, cosine": (SIGMAS, SIGMAS, BLUE),
    }
    figure = canvas(10, 3.7)
    left, right = figure.subplots(1, 2)
    for name, (sigma, weight, colour) in curves.items():
        left.loglog(sigma, weight / np.interp(1, sigma, weight), color=colour, label=name)
        product = weight * np.interp(sigma, SIGMAS, error)
        right.semilogx(sigma, product / np.trapezoid(product, np.log(sigma)), color=colour)
    left.set(xlabel="σ", ylim=(1e-2, 1e2))
    left.set_title("Weight of ‖ε − ε̂‖² per unit of log σ (1 at σ = 1)")
    left.legend(loc="upper left")
    right.set(xlabel="σ")
    right.set_title("Loss of the optimal denoiser per unit of log σ")
    return figure


def log_sigma_density(schedule: NoiseSchedule) -> tuple[Array, Array]:
    """σ at each t, and the density of log σ for t ~ U{1 … T}, up to a factor"""
    log_sigma = np.log(schedule.sigma(np.arange(1, schedule.T + 1)))
    within = (SIGMAS[0] <= np.exp(log_sigma)) & (np.exp(log_sigma) <= SIGMAS[-1])
    return np.exp(log_sigma[within]), 1 / np.gradient(log_sigma)[within]


FIGURES: tuple[Callable[[], Figure], ...] = (
    diffusion_forward,
    diffusion_bound,
    diffusion_score,
    diffusion_paths,
    diffusion_order,
    diffusion_guidance,
    diffusion_restore,
    flow_crossing,
    flow_density,
    flow_reflow,
    clocks_plane,
    clocks_weights,
)
