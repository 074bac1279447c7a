"""The house style of every picture: its colours, its type and quiet grid, and how one is saved.

Colours are Okabe & Ito's (2008), which the colour-blind can tell apart, and more that stay apart
from them: the ten of `COLOURS` differ by 16 units of CIELAB or more for any common kind of colour
vision. No picture opens a window, and no setting of matplotlib's is left changed.

    with panels("name", "folder/a.png", (8, 4)) as (ax,):
        ax.plot(...)

Reading order: the constants, `canvas`; then `panels`, which every plot stands in.
"""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tinygen._files import replacing
from tinygen._types import Array
from tinygen.autograd import to_numpy

Place: TypeAlias = str | os.PathLike[str] | Axes  # where a picture goes

BLUE, ORANGE, GREEN, RED, SKY, PURPLE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
INK, GREY, PALE = "#333333", "#757575", "#e6e6e6"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK, "#9933FF", "#BBDD88", "#663300")

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
    """An empty figure, in inches, that makes room for its labels itself."""
    return Figure(figsize=(width, height), layout="constrained")


def bare(ax: Axes) -> Axes:
    """An axes for a drawing: no ticks, no grid."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    return ax


def ink_on(colour: str) -> str:
    """Black or white, whichever is legible on a colour."""
    r, g, b = to_rgb(colour)
    return INK if 0.3 * r + 0.6 * g + 0.1 * b > 0.45 else "white"


def deep(colour: str) -> str:
    """The colour a fifth darker: what is legible as a line may be too pale as text."""
    r, g, b = to_rgb(colour)
    return to_hex((0.8 * r, 0.8 * g, 0.8 * b))


def note(ax: Axes, corner: tuple[int, int], text: str) -> None:
    """A small remark in a corner of the frame: (0, 0) is the lower left, (1, 1) the upper right."""
    x, y = corner
    ax.annotate(
        text,
        corner,
        (4 - 8 * x, 4 - 8 * y),
        "axes fraction",
        "offset points",
        fontsize=8,
        ha="right" if x else "left",
        va="top" if y else "bottom",
        color=GREY,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )


def on_host(x: Any) -> Array:
    """The numbers of an array, a GPU's array or a Tensor, as an array on the host."""
    return np.asarray(x.numpy() if hasattr(x, "numpy") else to_numpy(x))


def path_to(owner: str, where: Any, suffix: str) -> Path:
    """`where` as a path, if it is one and ends as the format does."""
    if not isinstance(where, (str, os.PathLike)):
        other = " or an Axes" if suffix == ".png" else ""
        raise TypeError(f"{owner}: expected a path{other}, got {type(where).__name__}")
    path = Path(where)
    if path.suffix.lower() != suffix:
        raise ValueError(f"{owner}: expected a path that ends in {suffix}, got {os.fspath(where)}")
    return path


@contextlib.contextmanager
def panels(
    owner: str,
    where: Place,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    title: str | None = None,
    **options: Any,
) -> Iterator[list[Axes]]:
    """Axes to draw in; at the end they are written to the path `where`, as a PNG.

    If an Axes is given for `where`, that is the one to draw in, and nothing is written. The same
    drawing gives the same bytes: the file says neither time nor version.
    """
    if isinstance(where, Axes):
        if rows * columns > 1:
            raise ValueError(f"{owner}: {rows * columns} panels need a path, not one Axes")
        yield [where]
        if title:
            where.set_title(title)
        return
    path = path_to(owner, where, ".png")
    # from matplotlib's own settings, so that the caller's have no part in it
    with matplotlib.style.context(["default", STYLE]):
        figure = canvas(*size)
        axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
        yield axes
        if title:
            lines = "\n".join(textwrap.fill(line, int(13 * size[0])) for line in title.split("\n"))
            if len(axes) == 1:
                axes[0].set_title(lines)
            else:
                figure.suptitle(lines, fontsize=STYLE["axes.titlesize"], color=INK)
        with replacing(path) as file:
            figure.savefig(
                file, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True}
            )
