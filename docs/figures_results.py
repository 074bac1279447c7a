"""The pictures of docs/results.md, from results.npz, which make_results.py makes of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawing import BLUE, GREEN, GREY, ORANGE, PURPLE
from matplotlib.figure import Figure

KEPT = Path(__file__).parent / "results.npz"  # row 0 of everything is that of real images
COLOURS = {
    "vae": BLUE,
    "vqvae": BLUE,
    "gan": ORANGE,
    "diffusion": GREEN,
    "latent": GREEN,
    "flow": PURPLE,
}
GUIDED = ("diffusion", "latent", "flow")  # families conditioned on the class, if labels are given
TICKS = [0.5, 1, 2, 5, 10, 20, 50, 100]


def kept() -> dict[str, np.ndarray]:
    with np.load(KEPT, allow_pickle=False) as arrays:
        return dict(arrays)


def results_samples() -> Figure:
    found = kept()
    count = len(found["names"])
    figure = Figure(figsize=(9.6, 0.36 * count), dpi=150)
    axes = figure.subplots(
        count,
        1,
        gridspec_kw={"left": 0.2, "right": 0.995, "top": 0.995, "bottom": 0.005, "hspace": 0.06},
    )
    for ax, name, drawn in zip(axes, found["names"], found["samples"], strict=True):
        strip = drawn.transpose(1, 0, 2).reshape(drawn.shape[1], -1)
        ax.imshow(
            255 - strip, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest"
        )
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def results_scores() -> Figure:
    """FID by minutes of training; precision, whether samples are good, by recall, whether all."""
    found = kept()
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k in range(1, len(found["names"])):
        family = str(found["programs"][k]).partition("_")[0]
        for ax, x, y in ((left, "minutes", "FID"), (right, "recall", "precision")):
            ax.plot(
                found[x][k],
                found[y][k],
                "s" if found["guided"][k] else "o",
                color=COLOURS[family],
                markersize=13,
                alpha=0.85,
                clip_on=False,
            )
            ax.text(
                found[x][k],
                found[y][k],
                str(k),
                color="white",
                ha="center",
                va="center_baseline",
                size=8,
            )
    left.axhline(found["FID"][0], color=GREY, linestyle="--")
    left.set(
        xscale="log",
        yscale="log",
        xlabel="minutes of training",
        ylabel="FID",
        title="training time and FID (dashed: real-data baseline)",
    )
    for axis in (left.xaxis, left.yaxis):
        low, high = axis.get_view_interval()
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    right.plot(found["recall"][0], found["precision"][0], "x", color=GREY, markersize=9)
    right.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="recall: how much of the data is covered",
        ylabel="precision: how many samples are good",
        title="quality and diversity (cross: real-data baseline)",
    )
    names = [f"{k} {name}" for k, name in enumerate(found["names"]) if k]
    names.append("squares: class-conditional and guided")
    figure.supxlabel("   ".join(names[:8]) + "\n" + "   ".join(names[8:]), size=8)
    return figure


FIGURES = (results_samples, results_scores)
