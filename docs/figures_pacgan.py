"""What packing does, from pacgan.csv: hours of games by the recipe of `gan_2d.py --paper`.

It has a line for each epoch: modes found, and the share of good samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawing import BLUE, ORANGE
from matplotlib.figure import Figure

GAMES = Path(__file__).parent / "pacgan.csv"


def gan_pacgan() -> Figure:
    """The plain and the packed game on the grid, three seeds each, and what was published"""
    games = np.genfromtxt(GAMES, delimiter=",", names=True, dtype=None, encoding="utf-8")
    games = games[games["data"] == "grid"]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for packing, colour, modes in ((1, BLUE, 17.3), (4, ORANGE, 24.8)):
        for seed in range(3):
            game = games[(games["packing"] == packing) & (games["seed"] == seed)]
            kind = {1: "plain", 4: "packed by four"}[packing] if seed == 0 else None
            left.plot(game["epoch"], game["modes"], color=colour, linewidth=1.2, label=kind)
            right.plot(game["epoch"], 100 * game["good"], color=colour, linewidth=1.2)
        left.axhline(modes, color=colour, linestyle="--")
    right.axhline(94.8, color=BLUE, linestyle="--")
    left.set(
        xlabel="epochs",
        ylabel="modes, of 25",
        ylim=(0, 26),
        title="modes found (dashed: published, after 400 epochs)",
    )
    right.set(
        xlabel="epochs", ylabel="%", ylim=(0, 100), title="good samples (dashed: published, plain)"
    )
    left.legend(loc="lower right", frameon=False)
    return figure


FIGURES = (gan_pacgan,)
