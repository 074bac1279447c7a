"""Sets of images by name: `load("mnist")`, "fashion", "digits", "shapes", or a folder of pictures.

Published sets are found or downloaded (mnist.py, fetch.py), synthetic ones are drawn when they are
asked for (synthetic_digits.py, synthetic_shapes.py), your own are read (image_folder.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinygen.data import mnist
from tinygen.data.image_folder import pictures
from tinygen.data.mnist import Labelled
from tinygen.data.synthetic_digits import digits
from tinygen.data.synthetic_shapes import shapes

__all__ = ["NotFound", "load"]

NAMES = ("mnist", "fashion", "digits", "shapes")
TRAIN, TEST = 60_000, 10_000  # how many digits are drawn if nobody says, as in MNIST
FEWER = 6  # so many times fewer shapes, which are larger
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
    the path of your own pictures, one in ten of which, whichever, is for testing. `train` and
    `test` say how many to take at most, and how many to draw: for the same numbers the same images
    each time, but of other numbers no image need be the same. `size` is the side of shapes and of
    your own pictures. `progress` shows how far a download is, or the reading of many pictures.
    """
    for called, count in (("train", train), ("test", test)):
        whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if count is not None and not (whole and count >= 0):
            raise ValueError(f"load: expected `{called}` to be an int ≥ 0 or None, got {count!r}")
    if name in ("mnist", "fashion"):
        sets: Any = mnist.load(name, progress=progress)
    elif name == "digits":
        sets = (
            digits(TRAIN if train is None else train, rng=np.random.default_rng(0)),
            digits(TEST if test is None else test, rng=np.random.default_rng(1)),
        )
    elif name == "shapes":
        sets = (
            shapes(
                TRAIN // FEWER if train is None else train, size=size, rng=np.random.default_rng(0)
            ),
            shapes(
                TEST // FEWER if test is None else test, size=size, rng=np.random.default_rng(1)
            ),
        )
    elif name and Path(name).exists():
        sets = _split(pictures(name, size, progress=progress))
    else:
        known = ", ".join(f'"{each}"' for each in NAMES)
        raise NotFound(
            f"load: expected {known} or the path of a folder with pictures, got "
            f"{name!r}, where there is nothing"
        )
    first, second = (
        Labelled(each.images[:count], None if each.labels is None else each.labels[:count])
        for each, count in zip(sets, (train, test), strict=True)
    )
    return first, second


def _split(own: Any) -> tuple[Labelled, Labelled]:
    order = np.random.default_rng(0).permutation(len(own.images))
    if len(order) < 2:
        raise ValueError(
            "load: expected at least 2 pictures, one to learn from and one to be judged by, got 1"
        )
    count = max(1, len(order) // HELD_OUT)
    parts = (order[count:], order[:count])
    return tuple(
        Labelled(own.images[part], None if own.labels is None else own.labels[part])
        for part in parts
    )  # type: ignore[return-value]
