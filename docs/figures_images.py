"""Draws the figure of data_and_runs.md on smoothing: what it shows and what it hides."""

from __future__ import annotations

import numpy as np
from drawing import BLUE, INK, canvas
from matplotlib.figure import Figure

from tinygen import image


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


FIGURES = (smoothing,)
