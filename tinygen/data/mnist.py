"""MNIST and Fashion-MNIST: 70,000 labelled grey images of 28 × 28 each, of digits and of clothes.

    (x, y), (x_test, y_test) = load("mnist")

Both come as four IDX files, a format of a few lines: `read_idx` is all of it.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from tinygen._types import Array
from tinygen.data.batches import Labelled
from tinygen.data.fetch import Source, at_hand, fetch

__all__ = ["have", "load", "read_idx"]

FILES = [f"{part}-{x}-ubyte" for part in ("train", "t10k") for x in ("images-idx3", "labels-idx1")]

SOURCES = {
    "mnist": Source(
        "mnist",
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
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
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {  # MD5 is what its authors publish: enough against accidents, not against forgery
            FILES[0]: "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
            FILES[1]: "md5:9018921c3c673c538a1fc5bad174d6f9",
            FILES[2]: "md5:8181f5470baa50b63fa0f6fddb340f0a",
            FILES[3]: "md5:15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
}


def load(name: str = "mnist", *, progress: bool = False) -> tuple[Labelled, Labelled]:
    """The training set, of 60,000 images, and the test set, of 10,000, of "mnist" or "fashion"

    They are found in a folder, or downloaded once; or there is an `Unavailable` that says why not.
    `progress` shows in a terminal how far a download is.
    """
    if name not in SOURCES:
        raise ValueError(f"load: expected `name` to be one of {list(SOURCES)}, got {name!r}")
    files = fetch(SOURCES[name], progress=progress)
    x, y, x_test, y_test = (read_idx(files[f], 3 if "images" in f else 1, f) for f in FILES)
    return _labelled(x, y), _labelled(x_test, y_test)


def _labelled(x: Array, y: Array) -> Labelled:
    return Labelled(x[..., None] / np.float32(255), y.astype(np.int64))  # (N, H, W, 1)


def have(name: str = "mnist") -> bool:
    """Whether `load` would need no network. It takes about as long as `load` itself."""
    return at_hand(SOURCES[name])


def read_idx(data: bytes, axes: int, name: str = "data") -> Array:
    """The array of bytes in an IDX file with so many axes. `name` is what errors call the file.

    The file is four bytes, 0, 0, 8 (for unsigned bytes as entries) and the number of axes; then the
    size of each axis, as four bytes with the highest first; then the entries, and nothing more.
    """
    start = 4 + 4 * axes
    shape = struct.unpack_from(f">{axes}I", data, 4) if len(data) >= start else ()
    if data[:4] != bytes([0, 0, 8, axes]) or len(data) != start + math.prod(shape):
        begin = data[:start].hex(" ")
        raise ValueError(f"{name}: expected {axes} axes of bytes, got {len(data)} bytes, {begin} …")
    return np.frombuffer(data, np.uint8)[start:].reshape(shape)
