"""Images side by side: a grid, named rows, strips from one image to another, a decoded plane.

Images are (N, H, W, C) with values from 0 to 1.

Reading order: `grid`; `compare` and `strip`, which have named rows; `manifold`. layout.py places
pixels and text, style.py has the colours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array
from tinygen.image.layout import (
    GAP,
    MARGIN,
    PAPER,
    SMALL,
    Sheet,
    Text,
    as_pixels,
    fitting_scale,
    framed,
    padded,
    saved,
    shortened,
    tiled,
    width_of,
    written,
)
from tinygen.image.style import BLUE, GREY, Place, on_host

__all__ = ["compare", "grid", "manifold", "strip"]

HEAD = SMALL + 5  # the height of a line of labels


def grid(
    where: Place,
    images: Any,
    *,
    columns: int | None = None,
    labels: Sequence[Any] | None = None,
    scale: int | None = None,
    title: str | None = None,
) -> None:
    """Images side by side, row by row, each with its label above it if `labels` are given

    `columns` is about the root of their number unless given. A pixel is drawn as scale × scale;
    by default that makes the picture up to 800 pixels wide. A pixel that is NaN or infinite is
    vermilion, and a line below says how many are.
    """
    pixels, bad = as_pixels("grid", images)
    N, H, W, _ = pixels.shape
    columns = math.ceil(math.sqrt(N)) if columns is None else columns
    whole("grid", 1, columns=columns)
    columns = min(columns, N)
    scale = fitting_scale("grid", where, scale, columns * (W + 1))
    head = 0 if labels is None else HEAD
    sheet = Sheet(tiled(pixels, columns, scale, head=head))
    if labels is not None:
        names = _labels("grid", labels, N)
        wide, high = W * scale + GAP, head + H * scale + GAP
        sheet = written(
            sheet,
            *(
                Text(
                    k % columns * wide + W * scale / 2,
                    k // columns * high + head / 2,
                    "mm",
                    shortened(name, W * scale),
                )
                for k, name in enumerate(names)
            ),
        )
    saved("grid", where, sheet, title, bad)


def compare(
    where: Place,
    rows: Mapping[str, Any],
    *,
    columns: int = 10,
    scale: int | None = None,
    title: str | None = None,
) -> None:
    """`compare("rec.png", {"original": x, "β = 1": a, "β = 4": b})`: what belongs together, stacked

    The images of each name stand in a row, and image k of one below image k of the other. More
    than `columns` of them go on below, in rows of their own.
    """
    names, sets, bad = _rows("compare", rows)
    R, N, H, W, _ = sets.shape
    whole("compare", 1, columns=columns)
    columns = min(columns, N)
    scale = fitting_scale("compare", where, scale, columns * (W + 1))
    bands: list[Array] = []
    tops: list[int] = []
    between = 4 * GAP
    for start in range(0, N, columns):
        part = sets[:, start : start + columns]
        full = np.full((R, columns, *part.shape[2:]), PAPER, np.uint8)
        full[:, : part.shape[1]] = part
        band = tiled(full.reshape(-1, *part.shape[2:]), columns, scale)
        top = len(tops) // R * (len(band) + between)
        tops += [top + r * (H * scale + GAP) for r in range(R)]
        bands += [band, np.full((between, *band.shape[1:]), PAPER, np.uint8)]
    sheet = Sheet(np.concatenate(bands[:-1]))
    saved("compare", where, _named(sheet, names, tops, H * scale), title, bad)


def strip(
    where: Place,
    rows: Any,
    *,
    labels: Sequence[Any] | None = None,
    ends: bool = True,
    scale: int | None = None,
    title: str | None = None,
) -> None:
    """Images from one to another, in rows (R, T, H, W, C) or a dict of rows by name (T, H, W, C)

    The two ends, which what is between them goes out from, are framed unless `ends` is False.
    `labels` are T names for the columns, such as the times of a trajectory.
    """
    unnamed = not isinstance(rows, Mapping)
    if unnamed:
        array = on_host(rows)
        if array.ndim != 5:
            raise ValueError(f"strip: expected `rows` (R, T, H, W, C), got {array.shape}")
        rows = {f"rows[{r}]": row for r, row in enumerate(array)}
    names, sets, bad = _rows("strip", rows)
    R, T, H, W, _ = sets.shape
    scale = fitting_scale("strip", where, scale, T * (W + 1))
    gap = 3 * GAP if ends else GAP
    high, wide = H * scale + gap, W * scale + gap
    sheet = padded(Sheet(tiled(sets.reshape(-1, *sets.shape[2:]), T, scale, gap)), *[GAP] * 4)
    for r, t in itertools.product(range(R), (0, T - 1) if ends else ()):
        left, top = t * wide + GAP, r * high + GAP
        framed(sheet.picture, left, top, W * scale, H * scale, BLUE)
    if not unnamed:
        sheet = _named(sheet, names, [r * high + GAP for r in range(R)], H * scale)
    if labels is not None:
        left = sheet.picture.shape[1] - T * wide + gap - GAP
        sheet = written(
            padded(sheet, top=HEAD),
            *(
                Text(left + t * wide + W * scale / 2, HEAD / 2, "mm", shortened(text, wide))
                for t, text in enumerate(_labels("strip", labels, T))
            ),
        )
    saved("strip", where, sheet, title, bad)


def manifold(
    where: Place,
    decode: Callable[[Array], Any],
    *,
    side: int = 20,
    batch: int = 256,
    scale: int | None = None,
    title: str | None = None,
) -> None:
    """The plane of two latent variables as images: `decode` of a side × side grid of z (n, 2)

    The grid is even in probability: coordinate i is the Gaussian's quantile at (i + ½) / side, so
    each image stands for the same share of what the prior draws. z₁ grows to the right and z₂
    upwards. (Kingma & Welling 2014, figure 4) `decode` is given at most `batch` rows at a time.
    """
    whole("manifold", 1, side=side, batch=batch)
    q = quantiles(side)
    z = np.stack(np.meshgrid(q, q[::-1]), axis=-1).reshape(-1, 2).astype(np.float32)
    parts: list[Array] = []
    bad = 0
    for start in range(0, len(z), batch):
        rows = z[start : start + batch]
        pixels, wrong = as_pixels("manifold", decode(rows), "decode(z)")
        if len(pixels) != len(rows) or (parts and pixels.shape[1:] != parts[0].shape[1:]):
            raise ValueError(
                f"manifold: expected `decode` to give an image for each row of z "
                f"{rows.shape}, all of one size, got {pixels.shape}"
            )
        parts.append(pixels)
        bad += wrong
    pixels = np.concatenate(parts)
    _, H, W, _ = pixels.shape
    scale = fitting_scale("manifold", where, scale, side * W)
    sheet = Sheet(tiled(pixels, side, scale, gap=0))
    saved("manifold", where, _with_ticks(sheet, q, W * scale, H * scale), title, bad)


def quantiles(side: int) -> Array:
    """z with Φ(z) = ½ / side, 1½ / side, …: `side` equal shares of a Gaussian, each by its middle.

    Φ is the Gaussian's distribution function. They are symmetric about 0.
    """
    return np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)])


# --- rows, labels and ticks -----------------------------------------------------------------------


def _labels(owner: str, labels: Sequence[Any], count: int) -> list[str]:
    if isinstance(labels, str):
        raise TypeError(f"{owner}: expected `labels` to be a sequence of {count}, got str")
    names = labels if isinstance(labels, (list, tuple)) else list(on_host(labels).tolist())
    if len(names) != count:
        raise ValueError(f"{owner}: expected {count} `labels`, got {len(names)}")
    return [f"{name:g}" if isinstance(name, float) else str(name) for name in names]


def _rows(owner: str, rows: Any) -> tuple[list[str], Array, int]:
    """The names of rows, their pixels (R, N, H, W, 3), and how many values were not finite."""
    if not isinstance(rows, Mapping):
        raise TypeError(f"{owner}: expected a dict from names to images, got {type(rows).__name__}")
    if not rows:
        raise ValueError(f"{owner}: expected rows of images, got none")
    sets = {name: as_pixels(owner, images, str(name)) for name, images in rows.items()}
    shapes = {str(name): pixels.shape[:-1] for name, (pixels, _) in sets.items()}
    if len(set(shapes.values())) > 1:
        got = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
        raise ValueError(f"{owner}: expected as many images of one size in each row, got {got}")
    pixels = np.stack([each for each, _ in sets.values()])
    return list(shapes), pixels, sum(bad for _, bad in sets.values())


def _named(sheet: Sheet, names: list[str], tops: list[int], height: int) -> Sheet:
    """Room on the left, and in it the names of rows that begin at `tops`, again and again."""
    left = max(width_of(name) for name in names) + 2 * MARGIN
    return written(
        padded(sheet, left=left),
        *(
            Text(left - MARGIN, top + height / 2, "rm", name)
            for top, name in zip(tops, itertools.cycle(names), strict=False)
        ),
    )


def _with_ticks(sheet: Sheet, q: Array, wide: int, high: int) -> Sheet:
    """Some of the coordinates below and on the left of a picture of tiles, and the axes' names."""
    side = len(q)
    some = min(side, 7 if side % 2 else 6)  # which makes them symmetric
    ticks = np.linspace(0, side - 1, some).round().astype(int)
    values = {k: f"{q[k] + 0:.1f}".replace("-", "−").replace("−0.0", "0.0") for k in ticks}
    height, width, _ = sheet.picture.shape
    left = HEAD + width_of("−0.0") + 2 * MARGIN
    texts = [
        Text(left + width / 2, height + 1.5 * HEAD, "mm", "z₁", SMALL + 2),
        Text(0, height / 2, "lm", "z₂", SMALL + 2),
    ]
    for k, value in values.items():
        x, y = left + (k + 0.5) * wide, height - (k + 0.5) * high
        texts.append(Text(x, height + HEAD / 2 + 1, "mm", value, colour=GREY))
        texts.append(Text(left - MARGIN, y, "rm", value, colour=GREY))
    return written(padded(sheet, bottom=2 * HEAD, left=left), *texts)
