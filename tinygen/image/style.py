"""The style of all plots: colours, fonts, grid, and saving.

The colours are those of Okabe & Ito (2008) and four more. Any two differ by at least 16 units of
CIELAB for every common kind of colour vision. No window opens, and no matplotlib setting changes.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tinygen._files import replacing
from tinygen._types import ArrayLike

PathLike: TypeAlias = str | os.PathLike[str]
Named: TypeAlias = Mapping[str, ArrayLike]
Plot = TypeVar("Plot", bound=Callable[..., Any])

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
RED, SKY, PURPLE = "#D55E00", "#56B4E9", "#CC79A7"
INK, GREY, PALE = "#333333", "#757575", "#e6e6e6"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, INK, "#9933FF", "#BBDD88", "#663300")
HALO = (withStroke(linewidth=3, foreground="white"),)  # an outline for text and lines over others

STYLE: dict[str, Any] = {
    **dict.fromkeys(("axes.titlesize", "figure.titlesize"), 11),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 9),
    **dict.fromkeys(("text.color", "axes.titlecolor", "axes.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), GREY),
    **{f"axes.spines.{side}": False for side in ("top", "right", "left", "bottom")},
    **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 150,
}


class Inline:
    """In place of a path: the figure is kept, to be returned and shown in a notebook."""

    figure: InlineFigure


class InlineFigure(Figure):
    """A figure that a notebook shows without pyplot"""

    options: Mapping[str, Any] = MappingProxyType({})  # of savefig

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as file, matplotlib.style.context(["default", STYLE]):
            self.savefig(file, format="png", **self.options)
            return file.getvalue()


Place: TypeAlias = PathLike | Axes | Inline  # where to plot


def placed(plot: Plot) -> Plot:
    """Let `plot(where, data)` be called without a path: `plot(data)` returns the figure.

    `plot(data, ax=ax)` is `plot(ax, data)`.
    """

    @functools.wraps(plot)
    def anywhere(*args: Any, ax: Axes | None = None, **options: Any) -> Any:
        if ax is not None:
            return plot(ax, *args, **options)
        if "where" in options or (args and isinstance(args[0], (str, os.PathLike, Axes, Inline))):
            return plot(*args, **options)
        place = Inline()
        plot(place, *args, **options)
        return place.figure

    return cast(Plot, anywhere)


def canvas(width: float, height: float) -> Figure:
    """An empty figure, of this size in inches, that makes room for its labels."""
    return InlineFigure(figsize=(width, height), layout="constrained")


def bare(ax: Axes) -> Axes:
    """The Axes without ticks and grid."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    return ax


def note(ax: Axes, text: str) -> None:
    """A small remark in the lower right corner of the frame."""
    look: Any = {"ha": "right", "fontsize": 8, "color": GREY, "path_effects": HALO}
    ax.annotate(text, (1, 0), (-4, 4), "axes fraction", "offset points", **look)


def path_to(owner: str, where: PathLike, suffix: str) -> Path:
    """`where` as a path, which must end in `suffix`."""
    path = Path(where)
    if path.suffix.lower() != suffix:
        raise ValueError(f"{owner}: expected a path that ends in {suffix}, got {path}")
    return path


@contextlib.contextmanager
def panels(
    owner: str,
    where: Place,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    title: str = "",
    **options: Any,
) -> Iterator[list[Axes]]:
    """Yield Axes to draw in, then write a PNG to the path; or yield `where` if it is an Axes."""
    if isinstance(where, Axes):
        if rows * columns > 1:
            raise ValueError(f"{owner}: {rows * columns} panels need a path, not one Axes")
        yield [where]
        if title:
            where.set_title(title)
        return
    path = where if isinstance(where, Inline) else path_to(owner, where, ".png")
    # matplotlib's defaults, not the caller's settings
    with matplotlib.style.context(["default", STYLE]):
        figure = canvas(*size)
        yield list(figure.subplots(rows, columns, squeeze=False, **options).flat)
        if title:
            figure.suptitle(title, wrap=True)
        save(figure, path)


def save(figure: Figure, path: Path | Inline, **options: Any) -> None:
    """Save a PNG without time or version, so that equal figures are equal bytes."""
    if isinstance(path, Inline):
        path.figure, path.figure.options = cast(InlineFigure, figure), options
        return
    options |= {"metadata": {"Software": None}, "pil_kwargs": {"optimize": True}}
    with replacing(path) as file:
        figure.savefig(file, format="png", **options)
