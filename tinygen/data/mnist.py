"""MNIST and Fashion-MNIST: 70,000 labelled grey images of 28 × 28 each, of digits and of clothes.

    (x, y), (x_test, y_test) = load("mnist")

Both come as four IDX files, a format of a few lines: `read_idx` is all of it.

Reading order: `load`, then `read_idx`; `SOURCES` says where the files come from.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np

from tinygen._types import Array
from tinygen.data.fetch import Source, at_hand, fetch

__all__ = ["Labelled", "have", "load", "read_idx"]


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _source(name: str, algorithm: str, mirrors: tuple[str, ...], *sums: str) -> Source:
    checksums = [f"{algorithm}:{each}" for each in sums]
    return Source(name, mirrors, dict(zip(FILES, checksums, strict=True)))


SOURCES = {
    "mnist": _source(
        "mnist",
        "sha256",
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    # MD5 is what its authors publish: enough against accidents, not against forgery
    "fashion": _source(
        "fashion",
        "md5",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}


class Labelled(NamedTuple):
    """Images (N, H, W, C), float32 in [0, 1]; the class of each, int64 (N,), or None."""

    images: Array
    labels: Any


def load(name: str = "mnist", *, progress: bool = False) -> tuple[Labelled, Labelled]:
    """The training set, of 60,000 images, and the test set, of 10,000, of "mnist" or "fashion"

    They are found in a folder, or downloaded once, as the module `fetch` describes. If they can't
    be had there is an `Unavailable`, whose first line says in short why. `progress` shows how far a
    download is.
    """
    files = fetch(_known("load", name), progress=progress)
    arrays = [read_idx(files[each], 3 if "images" in each else 1, each) for each in FILES]
    sets = [Labelled(_scaled(x), y.astype(np.int64)) for x, y in (arrays[:2], arrays[2:])]
    return sets[0], sets[1]


def have(name: str = "mnist") -> bool:
    """Whether `load` would need no network. It takes about as long as `load` itself."""
    return at_hand(_known("have", name))


def _known(owner: str, name: str) -> Source:
    if not isinstance(name, str) or name not in SOURCES:
        choices = " or ".join(f'"{each}"' for each in SOURCES)
        raise ValueError(f"{owner}: expected `name` to be {choices}, got {name!r}")
    return SOURCES[name]


def _scaled(x: Array) -> Array:
    return x[..., None] / np.float32(255)  # (N, H, W, 1)


def read_idx(data: bytes, axes: int, name: str = "data") -> Array:
    """The array of bytes in an IDX file with so many axes. `name` is what errors call the file.

    The file is four bytes, 0, 0, 8 (for unsigned bytes as entries) and the number of axes; then the
    size of each axis, as four bytes with the highest first; then the entries, and nothing more.
    """
    magic, start = bytes([0, 0, 8, axes]), 4 + 4 * axes
    if data[:4] != magic:
        found = data[:4].hex(" ") or "nothing"
        raise ValueError(
            f"{name}: expected an IDX file of unsigned bytes with {axes} axes, which "
            f"begins {magic.hex(' ')}, got {found}"
        )
    if len(data) < start:
        raise ValueError(f"{name}: expected a header of {start} bytes, got {len(data)} in all")
    shape = struct.unpack_from(f">{axes}I", data, 4)
    if len(data) - start != math.prod(shape):
        raise ValueError(
            f"{name}: expected {math.prod(shape)} entries for its shape {shape}, got "
            f"{len(data) - start}"
        )
    return np.frombuffer(data, np.uint8)[start:].reshape(shape)
