"""What the figures of the book have in common: colours, a style, and how one is saved.

Seeds are fixed and no time is measured, so the same versions of NumPy and matplotlib give the
same files.
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

BLUE, ORANGE, GREEN, RED, SKY, PURPLE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7",
)  # fmt: skip
INK, GREY, PALE = "#333333", "#757575", "#e6e6e6"

STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.spines.bottom": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.dpi": 150,
}


def canvas(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def bare(ax: Axes) -> Axes:
    """An axes for a drawing: no ticks, no grid."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    return ax


def ink_on(colour: str) -> str:
    """Black or white, whichever is legible on a colour."""
    r, g, b = matplotlib.colors.to_rgb(colour)
    return INK if 0.3 * r + 0.6 * g + 0.1 * b > 0.45 else "white"


def numbers(ax: Axes, values: np.ndarray, colours: np.ndarray | None = None, size: int = 9) -> None:
    """A grid of squares with the numbers in them, row 0 at the top."""
    rows, columns = values.shape
    for i, j in itertools.product(range(rows), range(columns)):
        colour = "white" if colours is None else colours[i, j]
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
        ax.text(j + 0.5, i + 0.53, f"{values[i, j]:g}".replace("-", "−"), ha="center",
                va="center", fontsize=size,
                color=ink_on(colour))  # fmt: skip
    ax.set(xlim=(-0.15, columns + 0.15), ylim=(rows + 0.15, -0.15), aspect="equal")


def save(figure: Figure, path: Path) -> None:
    """As a PNG of 128 colours, which is a third of the size, and without the time or versions."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png")
    image = Image.open(pixels).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
