"""Image sets by name: `load("mnist")`, "fashion", "digits", "shapes", or a folder's path.

MNIST and Fashion-MNIST each have 70,000 labelled 28 × 28 images, published as four IDX files.
"""

import math
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array
from tinygen.data.batches import Labelled
from tinygen.data.fetch import Source, at_hand, fetch
from tinygen.data.image_folder import pictures
from tinygen.data.synthetic_digits import digits
from tinygen.data.synthetic_shapes import shapes

__all__ = ["NotFound", "have", "load", "read_idx"]

NAMES = ("mnist", "fashion", "digits", "shapes")
SYNTHETIC = {"digits": (60_000, 10_000), "shapes": (10_000, 1_666)}  # default sizes
HELD_OUT = 10  # one in 10 of your own pictures is for testing
GOOGLE = "https://storage.googleapis.com"
FILES = [f"{part}-{x}-ubyte" for part in ("train", "t10k") for x in ("images-idx3", "labels-idx1")]
SOURCES = {
    "mnist": Source(
        "mnist",
        (f"{GOOGLE}/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        {
            FILES[0]: "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            FILES[1]: "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            FILES[2]: "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            FILES[3]: "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion": Source(
        "fashion",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            f"{GOOGLE}/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {  # its authors publish MD5: enough against accidents, not against forgery
            FILES[0]: "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
            FILES[1]: "md5:9018921c3c673c538a1fc5bad174d6f9",
            FILES[2]: "md5:8181f5470baa50b63fa0f6fddb340f0a",
            FILES[3]: "md5:15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
}


class NotFound(ValueError):
    """No image set and no folder has this name."""


def load(
    name: str = "mnist",
    *,
    train: int | None = None,
    test: int | None = None,
    size: int = 64,
    progress: bool = False,
) -> tuple[Labelled, Labelled]:
    """The training and test images of a set by its name, or of a folder

    "mnist" and "fashion" are found locally or downloaded, "digits" and "shapes" are generated. Any
    other name is the path of your own pictures, one in ten for testing. `train` and `test` are the
    numbers of images, or all if there are fewer; equal numbers give equal images. `size` is the
    side of shapes and of your own pictures. `progress` shows a bar in a terminal.
    """
    whole("load", 0, train=0 if train is None else train, test=0 if test is None else test)
    if name in SOURCES:
        sets: Any = _published(name, progress)
    elif name in SYNTHETIC:
        draw: Any = digits if name == "digits" else partial(shapes, size=size)
        sets = [
            draw(SYNTHETIC[name][seed] if n is None else n, rng=np.random.default_rng(seed))
            for seed, n in enumerate((train, test))
        ]
    elif name and Path(name).exists():
        sets = _split(*pictures(name, size, progress=progress)[:2])
    else:
        raise NotFound(f"load: expected one of {NAMES} or the path of a folder, got {name!r}")
    parts = zip(sets, (train, test), strict=True)
    first, second = (Labelled(x[:n], None if y is None else y[:n]) for (x, y), n in parts)
    return first, second


def _published(name: str, progress: bool) -> list[tuple[Array, Array]]:
    files = fetch(SOURCES[name], progress=progress)
    x, y, x_test, y_test = (read_idx(files[f], 3 if "images" in f else 1, f) for f in FILES)
    pairs = ((x, y), (x_test, y_test))
    return [(x[..., None] / np.float32(255), y.astype(np.int64)) for x, y in pairs]  # (N, H, W, 1)


def _split(x: Array, y: Array | None) -> list[tuple[Array, Array | None]]:
    order, count = np.random.default_rng(0).permutation(len(x)), max(1, len(x) // HELD_OUT)
    if len(x) < 2:
        raise ValueError("load: expected at least 2 pictures, for training and for testing, got 1")
    return [(x[part], None if y is None else y[part]) for part in (order[count:], order[:count])]


def have(name: str = "mnist") -> bool:
    """Whether `load` works without a network; this takes about as long as `load` itself."""
    return at_hand(SOURCES[name])


def read_idx(data: bytes, axes: int, name: str = "data") -> Array:
    """The uint8 array in an IDX file with this number of axes; errors call the file `name`.

    The bytes: 0, 0, 8 (for uint8), the number of axes; their lengths, big-endian; the elements.
    """
    start = 4 + 4 * axes
    shape = struct.unpack_from(f">{axes}I", data, 4) if len(data) >= start else ()
    if data[:4] != bytes([0, 0, 8, axes]) or len(data) != start + math.prod(shape):
        begin = data[:start].hex(" ")
        raise ValueError(f"{name}: expected IDX with {axes} axes, got {len(data)} bytes, {begin} …")
    return np.frombuffer(data, np.uint8)[start:].reshape(shape)
