"""Pictures made of images, pixel by pixel: tiles on white paper, with text around them.

Images are (N, H, W, C), C = 1 or 3, floats from 0 to 1 (uint8 is taken as 0 to 255). A picture is
a uint8 array (height, width, 3). A pixel of an image becomes a square of scale × scale equal ones,
so nothing is blurred and every value can be read back. A `Sheet` is a picture with texts that are
still to be set: by PIL in a file, by matplotlib in an Axes, where it may have any size.

Reading order: `as_pixels` checks images, `tiled` puts them side by side, `written` adds text,
`saved` writes the file.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont

from tinygen._checks import whole
from tinygen._files import replacing
from tinygen._types import Array
from tinygen.image.style import GREY, INK, RED, Place, bare, on_host, path_to

PAPER = 255
GAP = 2  # pixels between tiles
MARGIN = 6  # around text
SMALL, TITLE = 13, 17  # heights of type, in pixels
LEGIBLE = 6  # points: texts in an Axes are no smaller
WIDTH = 800  # about what a page shows without shrinking it


# --- images into pixels ---------------------------------------------------------------------------


def as_pixels(owner: str, images: Any, called: str = "images") -> tuple[Array, int]:
    """Images as uint8 (N, H, W, 3), and how many of their values were not finite.

    Values are clipped to [0, 1] and rounded to the nearest of 255 steps. A pixel with a NaN or an
    infinite value becomes vermilion, so that no failure passes for black.
    """
    x = on_host(images)
    hint = "; images[..., None] adds the channel" if x.ndim == 3 and x.shape[-1] > 3 else ""
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{owner}: expected `{called}` to hold numbers, got dtype {x.dtype}")
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            f"{owner}: expected `{called}` (N, H, W, C) with C = 1 or 3 and none of "
            f"them 0, got {x.shape}{hint}"
        )
    if x.dtype == np.uint8:
        return np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x.copy(), 0
    wrong = ~np.isfinite(x)
    bad = int(wrong.sum())
    x = np.where(wrong, 0, x) if bad else x
    pixels = np.floor(np.clip(x, 0, 1) * 255.0 + 0.5).astype(np.uint8)
    pixels = np.repeat(pixels, 3, axis=-1) if x.shape[-1] == 1 else pixels
    if bad:
        pixels[wrong.any(axis=-1)] = rgb(RED)
    return pixels, bad


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(colour))


def fitting_scale(owner: str, where: Place, scale: int | None, width: int) -> int:
    """How many times larger pixels are drawn: as said, or so that `width` of them fit a page.

    In an Axes, half of that: it is smaller than a page, and its texts become as small.
    """
    if scale is None:
        page = WIDTH // 2 if isinstance(where, Axes) else WIDTH
        return min(max(1, page // width), 8)
    whole(owner, 1, scale=scale)
    return int(scale)


# --- tiles ----------------------------------------------------------------------------------------


def tiled(pixels: Array, columns: int, scale: int, gap: int = GAP, head: int = 0) -> Array:
    """Image k in row k // columns and column k % columns, `gap` apart, `head` free above each."""
    N, H, W, C = pixels.shape
    rows = math.ceil(N / columns)
    sheet = np.full((rows, columns, head + H * scale + gap, W * scale + gap, C), PAPER, np.uint8)
    cells = sheet.reshape(rows * columns, *sheet.shape[2:])
    large = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    cells[:N, head : head + H * scale, : W * scale] = large
    h, w = sheet.shape[2:4]
    picture = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, C)
    return picture[: rows * h - gap, : columns * w - gap]


def framed(
    picture: Array, left: int, top: int, width: int, height: int, colour: str, thick: int = GAP
) -> None:
    """A frame around a rectangle, outside of it, drawn into the picture."""
    outside = (slice(top - thick, top + height + thick), slice(left - thick, left + width + thick))
    inside = picture[top : top + height, left : left + width].copy()
    picture[outside] = rgb(colour)
    picture[top : top + height, left : left + width] = inside


# --- text -----------------------------------------------------------------------------------------


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and which its figures are set in."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def width_of(text: str, size: int = SMALL) -> int:
    return math.ceil(font(size).getlength(text))


def shortened(text: str, width: int, size: int = SMALL) -> str:
    """The text, or as much of it as fits so many pixels and an ellipsis."""
    if width_of(text, size) <= width:
        return text
    while text and width_of(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


class Text(NamedTuple):
    """Where in the picture, how it is anchored there (PIL's words: "mm" is its middle), and what"""

    x: float
    y: float
    anchor: str
    text: str
    size: int = SMALL
    colour: str = INK


class Sheet(NamedTuple):
    picture: Array
    texts: tuple[Text, ...] = ()


def padded(sheet: Sheet, top: int = 0, right: int = 0, bottom: int = 0, left: int = 0) -> Sheet:
    """More paper around a picture, whose texts move along."""
    picture = np.pad(sheet.picture, ((top, bottom), (left, right), (0, 0)), constant_values=PAPER)
    return Sheet(picture, tuple(t._replace(x=t.x + left, y=t.y + top) for t in sheet.texts))


def written(sheet: Sheet, *texts: Text) -> Sheet:
    return Sheet(sheet.picture, (*sheet.texts, *texts))


def titled(sheet: Sheet, title: str | None, bad: int = 0) -> Sheet:
    """The picture under its title and, if some values were not finite, above a line that says so.

    The title is broken between words where it is wider than the picture.
    """
    width = sheet.picture.shape[1]
    lines: list[str] = []
    for paragraph in title.split("\n") if title else ():
        line = ""
        for word in paragraph.split():
            if line and width_of(f"{line} {word}", TITLE) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
    if lines:
        step = TITLE + 6
        spare = max(0, *(width_of(line, TITLE) - width for line in lines))
        sheet = padded(sheet, step * len(lines) + MARGIN, spare - spare // 2, 0, spare // 2)
        sheet = written(
            sheet,
            *(
                Text((width + spare) / 2, step * (k + 0.5) + 1, "mm", line, TITLE)
                for k, line in enumerate(lines)
            ),
        )
    if bad:
        said = f"{bad:,} value{'s' * (bad > 1)} not finite (vermilion)"
        spare = max(0, width_of(said) + MARGIN - sheet.picture.shape[1])
        sheet = padded(sheet, bottom=SMALL + 2 * MARGIN, right=spare)
        bottom = sheet.picture.shape[0] - MARGIN
        sheet = written(sheet, Text(0, bottom, "ls", said, colour=GREY))
    return sheet


def rendered(sheet: Sheet) -> Array:
    """The picture with its texts in it."""
    image = Image.fromarray(sheet.picture)
    draw = ImageDraw.Draw(image)
    for x, y, anchor, text, size, colour in sheet.texts:
        draw.text((x, y), text, fill=rgb(colour), font=font(size), anchor=anchor)
    return np.asarray(image).copy()


# --- the file -------------------------------------------------------------------------------------


def saved(owner: str, where: Place, sheet: Sheet, title: str | None, bad: int) -> None:
    """Written to a path as a PNG, with a white edge; or shown in an Axes."""
    if isinstance(where, Axes):
        _show(where, titled(sheet, None, bad))
        if title:
            where.set_title(title)
        return
    path = path_to(owner, where, ".png")
    picture = rendered(padded(titled(sheet, title, bad), *[MARGIN] * 4))
    with replacing(path) as file:
        as_image(picture).save(file, format="PNG", optimize=True)


def _show(ax: Axes, sheet: Sheet) -> None:
    bare(ax).imshow(sheet.picture)
    ax.set_frame_on(False)
    height, width, _ = sheet.picture.shape
    # the size of a pixel, in points, if the axes has about its place already
    point = min(ax.bbox.width / width, ax.bbox.height / height) * 72 / ax.figure.dpi
    across = {"l": "left", "m": "center", "r": "right"}
    along = {"m": "center", "s": "baseline"}
    for x, y, anchor, text, size, colour in sheet.texts:
        ax.text(
            x - 0.5,
            y - 0.5,
            text,
            fontsize=max(size * point, LEGIBLE),
            color=colour,
            ha=across[anchor[0]],
            va=along[anchor[1]],
        )


def is_grey(picture: Array) -> bool:
    return bool((picture == picture[..., :1]).all())


def as_image(picture: Array) -> Image.Image:
    """With one channel where all is grey, which is a third of the bytes."""
    return Image.fromarray(picture[..., 0] if is_grey(picture) else picture)
