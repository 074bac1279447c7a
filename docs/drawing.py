"""Shared by the figures of the book: the house style, and saving.

Seeds are fixed and no time is measured, so the same versions of NumPy and matplotlib give the
same files.
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from tinygen.image.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    STYLE,
    bare,
    canvas,
)

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PALE",
    "PURPLE",
    "RED",
    "SKY",
    "STYLE",
    "bare",
    "canvas",
    "ink_on",
    "numbers",
    "save",
]

MAX_COLOURS = 6000  # pictures with more, such as colour gradients, are not quantised


def ink_on(colour: str | np.ndarray) -> str:
    """Black or white, whichever is legible on the colour."""
    r, g, b = to_rgb(colour)
    return INK if 0.3 * r + 0.6 * g + 0.1 * b > 0.45 else "white"


def numbers(ax: Axes, values: np.ndarray, colours: np.ndarray | None = None, size: int = 9) -> None:
    """Draw a matrix as a grid of squares with numbers, row 0 at the top."""
    rows, columns = values.shape
    for i, j in itertools.product(range(rows), range(columns)):
        colour = "white" if colours is None else colours[i, j]
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
        ax.text(
            j + 0.5,
            i + 0.53,
            f"{values[i, j]:g}".replace("-", "−"),
            ha="center",
            va="center",
            fontsize=size,
            color=ink_on(colour),
        )
    ax.set(xlim=(-0.15, columns + 0.15), ylim=(rows + 0.15, -0.15), aspect="equal")


def save(figure: Figure, path: Path) -> None:
    """Save as a PNG without time or versions, in 128 colours if possible: a third of the size."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png")
    image = Image.open(pixels).convert("RGB")
    if image.getcolors(MAX_COLOURS):
        image = image.quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
