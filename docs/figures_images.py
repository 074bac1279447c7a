"""Draws the figures of how pictures of a run are to be read.

Reading order: what smoothing shows and hides, the plane of a decoder.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from drawing import BLUE, GREY, INK, ORANGE, PALE, RED, canvas
from matplotlib.figure import Figure

from tinygen import image

# --- what smoothing shows and hides ---------------------------------------------------------------


def looking_back(values: np.ndarray, span: float) -> np.ndarray:
    """The mean of what lies behind, with weights that fall by d = 1 − 1/span from step to step."""
    d = 1 - 1 / span
    totals = [values[0]]
    for value in values[1:]:
        totals.append(value + d * totals[-1])
    return np.array(totals) * (1 - d) / (1 - d ** np.arange(1, len(values) + 1))


def smoothing() -> Figure:
    """A loss whose line is known, under noise, and three ways to find the line again."""
    t = np.arange(3000)
    line = 0.6 + 1.4 * np.exp(-t / 250) + 0.25 * np.exp(-(((t - 1900) / 60) ** 2))
    noisy = line + np.random.default_rng(4).normal(0, 0.25, len(t))
    ways = {
        "the mean of about 10: noise is left": image.smoothed(noisy, 10),
        "of about 60, as curves draws it": image.smoothed(noisy, 60),
        "of about 600: the bump is gone": image.smoothed(noisy, 600),
        "of the last 200: late": looking_back(noisy, 200),
    }
    figure = canvas(9, 5)
    axes = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for ax, (title, mean) in zip(axes, ways.items(), strict=True):
        ax.plot(t, noisy, color=BLUE, alpha=0.25, linewidth=0.6)
        ax.plot(t, mean, color=BLUE)
        ax.plot(t, line, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        ax.set(ylim=(0, 2.4), xlim=(0, 3000), xticks=range(0, 3001, 1000))
        ax.set_title(title, fontsize=10)
    figure.suptitle("A loss with noise, its mean, and dashed what is under the noise", fontsize=11)
    figure.supxlabel("step", fontsize=10)
    figure.supylabel("loss", fontsize=10)
    return figure


# --- the plane of a decoder -----------------------------------------------------------------------


def rings(z: np.ndarray) -> np.ndarray:
    """A decoder that needs no training: z₁ leans an ellipse, z₂ opens it into a ring."""
    y, x = np.mgrid[1:-1:28j, -1:1:28j]
    z1, z2 = z[:, :1, None], z[:, 1:, None]
    u, v = x * np.cos(0.8 * z1) - y * np.sin(0.8 * z1), x * np.sin(0.8 * z1) + y * np.cos(0.8 * z1)
    r = np.hypot(u / 0.55, v / 0.85)
    hole = 0.45 + 0.25 * z2
    ink = 1 / (1 + np.exp(14 * (r - 1))) / (1 + np.exp(14 * (hole - r)))
    return ink[..., None]


def manifold() -> Figure:
    """Where the grid of a manifold's codes comes from, and the images at them."""
    side = 12
    z, shares = image.grids.quantiles(side), (np.arange(side) + 0.5) / side
    figure = canvas(9, 4.6)
    left, right = figure.subplots(1, 2)
    x = np.linspace(-2.6, 2.6, 300)
    left.plot(x, [NormalDist().cdf(v) for v in x], color=INK)
    for value, share in zip(z, shares, strict=True):
        left.plot([-2.6, value, value], [share, share, 0], color=ORANGE, linewidth=0.9)
    left.plot(z, shares, "o", color=RED, markersize=4)
    left.plot(z, np.zeros(side), "o", color=RED, markersize=4, clip_on=False)
    left.set(xlim=(-2.6, 2.6), ylim=(0, 1), xlabel="z", ylabel="share of the prior below z")
    left.set_title("Equal shares of a Gaussian")
    left.grid(color=PALE)
    image.manifold(right, rings, side=side, title="An image for each pair of them")
    right.title.set_color(INK)
    left.tick_params(colors=GREY)
    return figure


FIGURES = (smoothing, manifold)
