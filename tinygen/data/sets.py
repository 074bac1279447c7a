"""Sets of images by name: `load("mnist")`, "fashion", "digits", "shapes", or a folder's path."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array
from tinygen.data import mnist
from tinygen.data.batches import Labelled
from tinygen.data.image_folder import pictures
from tinygen.data.synthetic_digits import digits
from tinygen.data.synthetic_shapes import shapes

__all__ = ["NotFound", "load"]

NAMES = ("mnist", "fashion", "digits", "shapes")
DRAWN = {"digits": (60_000, 10_000), "shapes": (10_000, 1_666)}  # if nobody says how many
HELD_OUT = 10  # one in so many of your own pictures is for testing


class NotFound(ValueError):
    """No set of images has this name, and no folder."""


def load(
    name: str = "mnist",
    *,
    train: int | None = None,
    test: int | None = None,
    size: int = 64,
    progress: bool = False,
) -> tuple[Labelled, Labelled]:
    """The images to learn from and those to be judged by, of a set by its name, or of a folder

    "mnist" and "fashion" are found or downloaded; "digits" and "shapes" are drawn. Anything else is
    the path of your own pictures, one in ten of which is for testing. `train` and `test` say how
    many to take at most, or to draw: for the same numbers the same images each time. `size` is the
    side of shapes and of your own pictures. `progress` shows a bar in a terminal.
    """
    whole("load", 0, train=0 if train is None else train, test=0 if test is None else test)
    if name in mnist.SOURCES:
        sets: Any = mnist.load(name, progress=progress)
    elif name in DRAWN:
        draw: Any = digits if name == "digits" else partial(shapes, size=size)
        sets = [
            draw(DRAWN[name][seed] if n is None else n, rng=np.random.default_rng(seed))
            for seed, n in enumerate((train, test))
        ]
    elif name and Path(name).exists():
        sets = _split(*pictures(name, size, progress=progress)[:2])
    else:
        raise NotFound(f"load: expected one of {NAMES} or the path of a folder, got {name!r}")
    parts = zip(sets, (train, test), strict=True)
    first, second = (Labelled(x[:n], None if y is None else y[:n]) for (x, y, *_), n in parts)
    return first, second


def _split(x: Array, y: Array | None) -> list[tuple[Array, Array | None]]:
    order, count = np.random.default_rng(0).permutation(len(x)), max(1, len(x) // HELD_OUT)
    if len(x) < 2:
        raise ValueError("load: expected at least 2 pictures, to learn from and to test on, got 1")
    return [(x[part], None if y is None else y[part]) for part in (order[count:], order[:count])]
