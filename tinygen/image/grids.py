"""Image grids: plain, in named rows, as sequences, or of a decoded latent plane.

Images are (N, H, W, C), C = 1 or 3, floats from 0 to 1 or uint8, enlarged without interpolation.

Reading order: `grid`, `compare`, `strip`, `manifold`; then `as_pixels` checks images, `tiled` puts
them side by side, `sheet` adds text and writes the file.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, TypeAlias

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.transforms import Bbox
from PIL import ImageFont

from tinygen._batch import host
from tinygen._checks import whole
from tinygen._types import Array, ArrayLike
from tinygen.image.style import (
    BLUE,
    INK,
    RED,
    STYLE,
    Inline,
    InlineFigure,
    Named,
    Place,
    bare,
    path_to,
    placed,
    save,
)

__all__ = ["compare", "grid", "manifold", "strip"]

PAPER = 255
GAP = 2  # pixels between tiles
MARGIN = 6  # around the picture
SMALL = 13  # font size, in pixels
HEAD = SMALL + 5  # height of a line of labels
# DejaVu Sans, matplotlib's default
FONT = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", SMALL)
LEGIBLE = 6, 9  # the smallest and the largest font size, in points
WIDTH = 800  # in pixels, about what a page shows without shrinking it
DPI = 128  # a power of two, so that dividing pixels by it is exact
Labels: TypeAlias = Sequence[Any] | Array


@placed
def grid(
    where: Place, images: ArrayLike, *, columns: int = 0, labels: Labels = (), title: str = ""
) -> None:
    """A grid of images, by default about square, with each image's label above it if given

    Pixels that are NaN or infinite are vermilion, and the title gives their number.
    """
    pixels, bad = as_pixels("grid", images)
    N, H, W, _ = pixels.shape
    columns = min(N, columns or math.ceil(math.sqrt(N)))
    whole("grid", 1, columns=columns)
    scale = fitting(where, columns * (W + 1))
    names = _texts("grid", labels, N) if len(labels) else []
    head = HEAD if names else 0
    with sheet("grid", where, tiled(pixels, columns, scale, head=head), title, bad) as ax:
        for k, name in enumerate(names):
            x = k % columns * (W * scale + GAP) + W * scale / 2
            y = k // columns * (head + H * scale + GAP) + head / 2
            while FONT.getlength(name) > W * scale and len(name) > 1:
                name = name[:-2] + "…"
            ax.text(x - 0.5, y - 0.5, name, ha="center", va="center")


@placed
def compare(where: Place, rows: Named, *, columns: int = 10, title: str = "") -> None:
    """`compare("rec.png", {"original": x, "β = 1": a, "β = 4": b})`: one row of images per name

    After `columns` images, the rows continue below.
    """
    pixels, bad = _rows("compare", rows)
    R, N, H, W, C = pixels.shape
    columns = min(columns, N)
    whole("compare", 1, columns=columns)
    scale = fitting(where, columns * (W + 1))
    blank = np.full((R, -N % columns, H, W, C), PAPER, np.uint8)
    full = np.concatenate([pixels, blank], axis=1).reshape(R, -1, columns, H, W, C)
    picture = tiled(full.swapaxes(0, 1).reshape(-1, H, W, C), columns, scale)
    high, space, bands = H * scale + GAP, 4 * GAP, full.shape[1]
    breaks = np.repeat(np.arange(1, bands) * R * high, space)
    r = np.arange(bands * R)
    with sheet("compare", where, np.insert(picture, breaks, PAPER, 0), title, bad) as ax:
        ax.set_yticks(r * high + r // R * space + (high - GAP - 1) / 2, [*map(str, rows)] * bands)


@placed
def strip(
    where: Place,
    rows: ArrayLike | Named,
    *,
    labels: Labels = (),
    ends: bool = True,
    title: str = "",
) -> None:
    """Sequences of images in rows (R, T, H, W, C), or a dict of rows (T, H, W, C) by name

    The two ends are framed unless `ends` is False. `labels` name the columns, such as times.
    """
    named = rows if isinstance(rows, Mapping) else dict(enumerate(host(rows)))
    pixels, bad = _rows("strip", named)
    R, T, H, W, C = pixels.shape
    scale = fitting(where, T * (W + 1))
    high, wide, edge = H * scale, W * scale, GAP if ends else 0
    framed = np.full((R, T, high + 2 * edge, wide + 2 * edge, C), PAPER, np.uint8)
    framed[:, [0, -1]] = rgb(BLUE)
    framed[:, :, edge : edge + high, edge : edge + wide] = pixels.repeat(scale, 2).repeat(scale, 3)
    _, _, h, w, _ = framed.shape
    with sheet("strip", where, tiled(framed.reshape(-1, h, w, C), T, 1), title, bad) as ax:
        if isinstance(rows, Mapping):
            ax.set_yticks([r * (h + GAP) + (h - 1) / 2 for r in range(R)], [str(n) for n in rows])
        if len(labels):
            ax.xaxis.tick_top()
            middles = [t * (w + GAP) + (w - 1) / 2 for t in range(T)]
            ax.set_xticks(middles, _texts("strip", labels, T))


@placed
def manifold(
    where: Place, decode: Callable[[Array], ArrayLike], *, side: int = 20, title: str = ""
) -> None:
    """A latent plane as images: `decode` of a side × side grid of z (n, 2)

    z has equal prior probability per image, z₁ to the right, z₂ up. (Kingma & Welling 2014, fig. 4)
    """
    whole("manifold", 1, side=side)
    q = quantiles(side)
    z = np.stack(np.meshgrid(q, q[::-1]), axis=-1).reshape(-1, 2).astype(np.float32)
    pixels, bad = as_pixels("manifold", decode(z), "decode(z)")
    N, H, W, _ = pixels.shape
    if len(z) != N:
        raise ValueError(f"manifold: expected `decode` to give {len(z)} images, got {N}")
    scale = fitting(where, side * W)
    ticks = np.linspace(0, side - 1, min(side, 7 if side % 2 else 6)).round().astype(int)
    names = [f"{z:.1f}".replace("-", "−") for z in q[ticks]]
    with sheet("manifold", where, tiled(pixels, side, scale, gap=0), title, bad) as ax:
        ax.set_xticks((ticks + 0.5) * W * scale - 0.5, names)
        ax.set_yticks((side - ticks - 0.5) * H * scale - 0.5, names)
        ax.set_xlabel("z₁")
        ax.set_ylabel("z₂", rotation=0)


def quantiles(side: int) -> Array:
    """z with Φ(z) = ½ / side, 1½ / side, …: the medians of `side` equally likely intervals"""
    return np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)])


def _texts(owner: str, labels: Labels, count: int) -> list[str]:
    labels = labels if isinstance(labels, (list, tuple)) else host(labels)
    if len(labels) != count:
        raise ValueError(f"{owner}: expected {count} `labels`, got {len(labels)}")
    return [f"{x:g}" if isinstance(x, (float, np.floating)) else str(x) for x in labels]


def _rows(owner: str, rows: Mapping[Any, ArrayLike]) -> tuple[Array, int]:
    """The pixels of named rows (R, N, H, W, 3), and the number of values that are not finite."""
    if not isinstance(rows, Mapping) or not rows:
        raise TypeError(f"{owner}: expected a dict from names to images, got {type(rows).__name__}")
    sets = [as_pixels(owner, images, str(name)) for name, images in rows.items()]
    return np.stack([pixels for pixels, _ in sets]), sum(bad for _, bad in sets)


def as_pixels(owner: str, images: ArrayLike, name: str = "images") -> tuple[Array, int]:
    """Images as uint8 (N, H, W, 3), and the number of values that are not finite (vermilion)."""
    x = host(images)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or 0 in x.shape:
        hint = "; images[..., None] adds the channel" if x.ndim == 3 else ""
        raise ValueError(f"{owner}: expected `{name}` (N, H, W, 1 or 3), got {x.shape}{hint}")
    bad = ~np.isfinite(x)
    if x.dtype != np.uint8:
        x = np.floor(np.clip(np.where(bad, 0, x), 0, 1) * 255.0 + 0.5).astype(np.uint8)
    pixels = np.broadcast_to(x, (*x.shape[:3], 3)).copy()
    pixels[bad.any(axis=-1)] = rgb(RED)
    return pixels, int(bad.sum())


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(colour))


def fitting(where: Place, width: int) -> int:
    """The scale, at most 8, at which `width` pixels fit a page, or half a page in an Axes."""
    return min(max(1, WIDTH // (2 if isinstance(where, Axes) else 1) // width), 8)


def tiled(pixels: Array, columns: int, scale: int, gap: int = GAP, head: int = 0) -> Array:
    """Image k in row k // columns and column k % columns, `gap` apart, with `head` above each."""
    large = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    room = ((0, -len(pixels) % columns), (head, gap), (0, gap), (0, 0))
    cells = np.pad(large, room, constant_values=PAPER)  # (rows · columns, h, w, C)
    _, h, w, C = cells.shape
    picture = cells.reshape(-1, columns, h, w, C).swapaxes(1, 2).reshape(-1, columns * w, C)
    return picture[: len(picture) - gap, : columns * w - gap]


@contextlib.contextmanager
def sheet(owner: str, where: Place, picture: Array, title: str, bad: int) -> Iterator[Axes]:
    """Yield an Axes with the picture, to add names to; then write it to a path as a PNG.

    Each pixel of the picture is one pixel of the file.
    """
    height, width, _ = picture.shape
    path: Path | Inline | None = where if isinstance(where, Inline) else None
    if not isinstance(where, (Axes, Inline)):
        path = path_to(owner, where, ".png")
    with matplotlib.style.context(["default", STYLE] if path else []):
        figure = InlineFigure((width / DPI, height / DPI), DPI)
        ax = where if isinstance(where, Axes) else figure.add_axes((0, 0, 1, 1))
        bare(ax).imshow(picture, interpolation="nearest")
        point = min(ax.bbox.width / width, ax.bbox.height / height) * 72 / ax.figure.dpi
        size = float(np.clip(SMALL * point, *LEGIBLE))
        ax.set_frame_on(False)
        ax.tick_params(length=0, labelsize=size, labelcolor=INK)
        with matplotlib.rc_context({"font.size": size}):
            yield ax
        lines = [title] if title else []
        lines += [f"{bad:,} values not finite (vermilion)"] * (bad > 0)
        most = max(20, width // 10) if path else 1000  # characters in a line of the title
        if lines:
            ax.set_title("\n".join(textwrap.fill(line, most) for line in lines))
        if path:
            low, high = figure.get_tightbbox().get_points() * DPI  # of the picture with its text
            box = np.stack([np.floor(low) - MARGIN, np.ceil(high) + MARGIN])
            save(figure, path, dpi=DPI, bbox_inches=Bbox(box / DPI))
