"""The figure of data_and_runs.md on smoothing a loss curve."""

from __future__ import annotations

import numpy as np
from drawing import BLUE, INK, canvas
from matplotlib.figure import Figure

from tinygen import image


def trailing_mean(values: np.ndarray, span: float) -> np.ndarray:
    """The mean of past values, with weights that decay by d = 1 − 1/span per step."""
    d = 1 - 1 / span
    totals = [values[0]]
    for value in values[1:]:
        totals.append(value + d * totals[-1])
    return np.array(totals) * (1 - d) / (1 - d ** np.arange(1, len(values) + 1))


def smoothing() -> Figure:
    """A known loss curve with noise, smoothed in four ways."""
    t = np.arange(3000)
    true = 0.6 + 1.4 * np.exp(-t / 250) + 0.25 * np.exp(-(((t - 1900) / 60) ** 2))
    noisy = true + np.random.default_rng(4).normal(0, 0.25, len(t))
    means = {
        "mean over about 10 steps: noisy": image.smoothed(noisy, 10),
        "about 60 steps, as image.curves does": image.smoothed(noisy, 60),
        "about 600 steps: the bump is gone": image.smoothed(noisy, 600),
        "about 200 past steps: lags": trailing_mean(noisy, 200),
    }
    figure = canvas(9, 5)
    axes = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for ax, (title, mean) in zip(axes, means.items(), strict=True):
        ax.plot(t, noisy, color=BLUE, alpha=0.25, linewidth=0.6)
        ax.plot(t, mean, color=BLUE)
        ax.plot(t, true, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        ax.set(ylim=(0, 2.4), xlim=(0, 3000), xticks=range(0, 3001, 1000))
        ax.set_title(title, fontsize=10)
    figure.suptitle("A noisy loss (pale), smoothed (blue) and without noise (dashed)", fontsize=11)
    figure.supxlabel("step", fontsize=10)
    figure.supylabel("loss", fontsize=10)
    return figure


FIGURES = (smoothing,)
