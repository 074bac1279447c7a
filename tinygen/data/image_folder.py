"""Your own pictures as one array: from a folder of image files, or a .npy or .npz file.

    images, labels, names, skipped = pictures("my_photos", size=64)

Pictures in a folder are rotated as their EXIF data says, put on a white background if transparent,
cropped to the central square, and resized. Unreadable files are skipped with a warning.
"""

import functools
import glob
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygen._checks import whole
from tinygen._types import Array
from tinygen.autograd import Tensor, to_numpy
from tinygen.data.fetch import no_bar

__all__ = ["Pictures", "pictures", "read_picture", "resize"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]  # no EPS, which runs a program
MANY = 500  # images of an array that are processed at once, to save memory
NAMED = 5  # unreadable files in a warning


class Pictures(NamedTuple):
    """Images (N, H, W, C), float32 in [0, 1], and their labels (N,), or None without classes.

    `names[k]` is the name of class k. `skipped` lists the unreadable files, each with the reason.
    """

    images: Array
    labels: Array | None
    names: tuple[str, ...]
    skipped: tuple[str, ...]


def pictures(path: str | Path, size: int | None = None, *, progress: bool = False) -> Pictures:
    """The pictures in a folder, a .npy or a .npz file, cropped and resized to `size` × `size`

    Without `size` all must have the same size. Sub-folders are the classes, in alphabetical order.
    Hidden and other files are ignored. A .npz file has `images` and perhaps `labels`. Arrays are
    (N, H, W) or (N, H, W, C), bytes or floats from 0 to 1. `progress` shows a bar in a terminal.
    """
    whole("pictures", 1, size=1 if size is None else size)
    path = Path(path).expanduser()
    return _from_folder(path, size, progress) if path.is_dir() else _from_arrays(path, size)


def _from_folder(folder: Path, size: int | None, progress: bool) -> Pictures:
    from tqdm import tqdm

    # "**" skips hidden files and follows links to folders
    paths = (Path(name) for name in glob.glob("**", root_dir=folder, recursive=True))
    files = sorted(p for p in paths if p.suffix.lower() in SUFFIXES and (folder / p).is_file())
    names = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    loose = [file for file in files if len(file.parts) == 1]
    if names and loose:  # loose pictures have no class
        raise ValueError(f"pictures: {loose[0]} is not in a class folder: {', '.join(names)}")
    read: list[Array] = []
    labels, skipped = [], []
    for file in tqdm(files, "reading", unit=" files", disable=no_bar(progress)):
        try:
            x = _square(read_picture(folder / file), size)
        except Exception as error:  # broken files can raise almost anything
            skipped.append(f"{file} ({str(error) or type(error).__name__})")
            continue
        if read and x.shape[:2] != read[0].shape[:2]:
            sizes = f"{read[0].shape[:2]} and {x.shape[:2]} in {folder}"
            raise ValueError(f"pictures: expected `size`, as the pictures differ: {sizes}")
        read.append(x)
        labels.append(names.index(file.parts[0]) if names else 0)
    if skipped:
        text = f"{len(skipped)} of {len(files)} files could not be read: "
        warnings.warn(text + ", ".join(skipped[:NAMED]), stacklevel=3)
    if not read:
        raise ValueError(f"pictures: no readable picture in {folder} ({len(files)} image files)")
    shape = np.broadcast_shapes(*(x.shape for x in read))  # three channels if one has colours
    images = np.stack([np.broadcast_to(x, shape) for x in read])
    numbers = np.array(labels, np.int64) if names else None
    return Pictures(images, numbers, tuple(names), tuple(skipped))


def read_picture(file: Path) -> Array:
    """A picture as float32 (H, W, C) in [0, 1], on white if transparent; C is 1 if it is grey."""
    from PIL import Image, ImageOps

    with Image.open(file, formats=FORMATS) as stored:
        picture = ImageOps.exif_transpose(stored)
    if picture.mode[0] in "IF":  # 16 bits, perhaps in 32, or floats: Pillow would clip them
        x = np.asarray(picture)
        return _scaled(x if x.dtype.kind == "f" else x / np.float32(65535))[..., None]
    rgba = _scaled(np.asarray(picture.convert("RGBA")))
    alpha = rgba[..., 3:]
    x = alpha * rgba[..., :3] + (1 - alpha)  # on white
    return x[..., :1] if (x == x[..., :1]).all() else x


def _from_arrays(path: Path, size: int | None) -> Pictures:
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    x = arrays["images"]
    x = x[..., None] if x.ndim == 3 else x  # (N, H, W, 1)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or not x.size:
        raise ValueError(f"pictures: expected `images` (N, H, W), (…, 1) or (…, 3), got {x.shape}")
    labels = arrays["labels"].astype(np.int64) if "labels" in arrays else None
    if labels is not None and labels.shape != x.shape[:1]:
        raise ValueError(f"pictures: expected {len(x)} `labels`, got shape {labels.shape}")
    parts = [_square(_scaled(x[i : i + MANY]), size) for i in range(0, len(x), MANY)]
    return Pictures(np.concatenate(parts), labels, (), ())


def _scaled(x: Array) -> Array:
    """As float32 in [0, 1]; unsigned integers are divided by their type's maximum."""
    if x.dtype.kind == "u":
        return x / np.float32(np.iinfo(x.dtype).max)
    if x.dtype.kind not in "bf" or not (x.min() >= 0 and x.max() <= 1):  # rejects NaN too
        raise ValueError(f"expected bytes or floats 0 to 1, got {x.dtype} [{x.min()}, {x.max()}]")
    return x.astype(np.float32, copy=False)


def _square(x: Array, size: int | None) -> Array:
    """The central square of (…, H, W, C), resized to `size`; all of it if that is None."""
    H, W = x.shape[-3:-1]
    side = min(H, W)
    i, j = (H - side) // 2, (W - side) // 2
    return x if size is None else resize(x[..., i : i + side, j : j + side, :], size)


def resize(images: Array | Tensor, size: int | tuple[int, int]) -> Array:
    """R x Sᵀ: images (…, H, W, C) resized to `size` × `size`, or to (height, width)

    R and S average over the area of each new pixel, or interpolate linearly to enlarge.
    """
    x = to_numpy(images.data if isinstance(images, Tensor) else images)
    if x.dtype.kind != "f" or x.ndim < 3:
        raise TypeError(f"resize: expected floats (…, H, W, C), got {x.dtype} {x.shape}")
    h, w = size if isinstance(size, tuple) else (size, size)
    whole("resize", 1, height=h, width=w)
    *N, H, W, C = x.shape
    if (h, w) == (H, W):
        return x.copy()
    rows = _means(H, h, x.dtype) @ x.reshape(*N, H, W * C)  # (…, h, W·C)
    y: Array = _means(W, w, x.dtype) @ rows.reshape(*N, h, W, C)  # (…, h, w, C)
    # rounding can push a mean slightly past the extremes
    return y.clip(x.min(), x.max(), out=y) if y.size else y


@functools.lru_cache(maxsize=64)
def _means(n: int, m: int, dtype: np.dtype[Any]) -> Array:
    """The matrix (m, n) from n pixels to m. Pixel j is the interval from j to j + 1."""
    if m <= n:
        edges = np.arange(m + 1) * (n / m)  # of the new pixels
        covered = np.clip(edges[:, None] - np.arange(n), 0, 1)  # of each pixel, left of an edge
        weights: Array = np.diff(covered, axis=0) * (m / n)
    else:
        centres = np.clip((np.arange(m) + 0.5) * (n / m) - 0.5, 0, n - 1)
        weights = np.clip(1 - np.abs(centres[:, None] - np.arange(n)), 0, 1)
    return weights.astype(dtype)
