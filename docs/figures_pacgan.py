"""The effect of packing, from pacgan.csv: hours of training by `gan_2d.py --paper`.

Each row is an epoch of a run: modes found and the fraction of good samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawing import BLUE, ORANGE
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "pacgan.csv"


def gan_pacgan() -> Figure:
    """Plain and packed runs on the grid, three seeds each, beside the published results."""
    rows = np.genfromtxt(RESULTS, delimiter=",", names=True, dtype=None, encoding="utf-8")
    rows = rows[rows["data"] == "grid"]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for packing, colour, modes in ((1, BLUE, 17.3), (4, ORANGE, 24.8)):
        for seed in range(3):
            run = rows[(rows["packing"] == packing) & (rows["seed"] == seed)]
            label = {1: "plain", 4: "packs of four"}[packing] if seed == 0 else None
            left.plot(run["epoch"], run["modes"], color=colour, linewidth=1.2, label=label)
            right.plot(run["epoch"], 100 * run["good"], color=colour, linewidth=1.2)
        left.axhline(modes, color=colour, linestyle="--")
    right.axhline(94.8, color=BLUE, linestyle="--")
    left.set(xlabel="epoch", ylabel="modes found, of 25", ylim=(0, 26))
    left.set_title("Modes found (dashed: published, after 400 epochs)")
    right.set(xlabel="epoch", ylabel="good samples, %", ylim=(0, 100))
    right.set_title("Good samples (dashed: published, plain)")
    left.legend(loc="lower right", frameon=False)
    return figure


FIGURES = (gan_pacgan,)
