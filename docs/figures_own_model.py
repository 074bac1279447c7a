"""The figures of own_model.md, drawn from the model that the page trains.

Reading order: `page`; the plane on its way through the layers; the density beside the true one.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from drawing import BLUE, INK, bare, canvas
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import tinygen as tg
from tinygen import image
from tinygen.data import points_2d
from tinygen.image.style import COLOURS

SEED = 0
LIMIT = 4.0  # of the axes


@functools.cache
def page() -> dict[str, Any]:
    """The namespace of the page's code, run up to its first figure."""
    text = (Path(__file__).parent / "own_model.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for code in re.findall(r"^```python\n(.*?)^```", text.partition("![")[0], re.M | re.S):
            exec(compile(code, "own_model.md", "exec"), names)
    return names


def held_out(n: int) -> points_2d.Points:
    names = page()
    return points_2d.mixture(n, names["means"], names["std"], rng=np.random.default_rng(SEED))


def own_flow_layers() -> Figure:
    """Points after every other layer, each in the colour of its mode."""
    x, labels = held_out(1500)
    clouds = {"data": x}
    with tg.no_grad():
        for count, layer in enumerate(page()["model"].layers, 1):
            x, _ = layer(x)
            if count % 2 == 0:  # the halves are in order again
                clouds[f"after {count} layers"] = x.numpy()
    figure = canvas(10, 2.35)
    for ax, (name, cloud) in zip(figure.subplots(1, len(clouds)), clouds.items(), strict=True):
        bare(ax).scatter(*cloud.T, s=2, c=[COLOURS[k] for k in labels], linewidths=0)
        for mass in (2 / 3, 0.99):  # of N(0, I) within radius r: 1 − exp(−r²/2)
            radius = math.sqrt(-2 * math.log(1 - mass))
            ax.add_patch(Circle((0, 0), radius, fill=False, color=INK, lw=0.8, ls="--"))
        ax.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")
        ax.set_title(name, size=9)
    return figure


def own_flow() -> Figure:
    """The true density, the model's, and its samples."""
    names, extent = page(), (-3.3, 3.3, -3.3, 3.3)

    def truth(x: np.ndarray) -> np.ndarray:
        return np.exp(points_2d.log_density(x, names["means"], names["std"]))

    def learned(x: np.ndarray) -> np.ndarray:
        with tg.no_grad():
            return np.exp(names["model"].log_prob(x.astype("f4")).numpy())

    figure = canvas(9, 3.3)
    left, middle, right = figure.subplots(1, 3)
    image.density(left, truth, extent=extent, title="true density")
    image.density(middle, learned, extent=extent, title="flow's density")
    new = names["model"].sample(3000, 2, rng=np.random.default_rng(SEED))
    bare(right).scatter(*new.T, s=1.5, color=BLUE, linewidths=0)
    right.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", title="flow's samples")
    return figure


FIGURES = (own_flow_layers, own_flow)
