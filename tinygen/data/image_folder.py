"""Pictures of your own as one array: from a folder of PNG and JPEG files, or a .npy or .npz file.

    images, labels, names, skipped = pictures("my_photos", size=64)

A picture in a folder is turned as its camera says, laid on white where it is transparent, cropped
to its central square, and resized. What can't be read is named, and left out: of ten thousand files
from anywhere a few are broken.

Reading order: `pictures`, then `_from_folder` and `_read`, or `_from_arrays`; then `resize`, which
stands by itself.
"""

from __future__ import annotations

import functools
import os
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygen._types import Array
from tinygen.autograd import Tensor, to_numpy

__all__ = ["Pictures", "pictures", "resize"]


SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]  # Pillow's, and no program to run
MOST = 4 << 30  # bytes that all pictures together may take
PIECE = 1 << 24  # entries of an array that are worked on at a time
MANY = 300  # files from which on there is a progress bar
NAMED = 5  # how many files that can't be read are named
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue; ITU-R BT.601


class Pictures(NamedTuple):
    """Images (N, H, W, C), float32 in [0, 1], and where they have classes the number of each.

    `names[k]` is what class k is called; `skipped` are the files left out, each with why.
    """

    images: Array
    labels: Array | None
    names: tuple[str, ...]
    skipped: tuple[str, ...]


def pictures(
    path: str | os.PathLike[str],
    size: int | None = None,
    *,
    grey: bool = False,
    progress: bool = False,
) -> Pictures:
    """All pictures of a folder, or of a .npy or .npz file, cropped to squares of `size` × `size`

    Without `size` they stay as they are, and must be of one size. They keep their colours, unless
    every picture in the folder is grey, or `grey` makes them so.

    A folder's sub-folders are the classes, numbered in the order of their names; pictures deeper
    down belong to the class above them. Hidden files and folders, and all that is no picture by its
    name, are passed over. A .npz file has `images`, and may have `labels`; arrays are (N, H, W) or
    (N, H, W, C), of bytes from 0 to 255 or of floats from 0 to 1.

    A warning names files that can't be read. `progress` shows a bar while many files are read.
    """
    if size is not None and (not isinstance(size, (int, np.integer)) or size < 1):
        raise ValueError(f"pictures: expected `size` to be an int ≥ 1 or None, got {size!r}")
    path = Path(path).expanduser()
    if path.is_dir():
        return _from_folder(path, size, grey, progress)
    if not path.exists():
        raise FileNotFoundError(f"pictures: there is no {path}")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"pictures: expected a folder, or a .npy or .npz file, got {path}")
    return _from_arrays(path, size, grey)


def _check_memory(n: int, shape: tuple[int, ...]) -> None:
    H, W, C = shape
    total = 4 * n * H * W * C
    if total > MOST:
        fits = int((MOST / (4 * n * C)) ** 0.5)
        advice = f"`size={fits}` would fit" if fits else "take fewer"
        raise ValueError(
            f"pictures: {n} pictures of shape {shape} are {total / 2**30:.1f} GB as "
            f"float32, and at most {MOST / 2**30:.1f} GB are allowed; "
            f"{advice}"
        )


def _square(x: Array, size: int | None) -> Array:
    """The central square of (…, H, W, C), resized to `size`; or all of it where that is None."""
    if size is None:
        return x
    H, W = x.shape[-3:-1]
    side = min(H, W)
    i, j = (H - side) // 2, (W - side) // 2
    return resize(x[..., i : i + side, j : j + side, :], size)


def _to_grey(x: Array) -> Array:
    return x if x.shape[-1] == 1 else (x @ LUMINANCE)[..., None]


# --- a folder -------------------------------------------------------------------------------------


def _from_folder(folder: Path, size: int | None, grey: bool, progress: bool) -> Pictures:
    from tqdm import tqdm

    files, names = _files(folder)
    if not files:
        kinds = " ".join(sorted(SUFFIXES))
        raise ValueError(f"pictures: no picture is in {folder}; expected files {kinds}")
    read: list[Array] = []
    labels, skipped = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow can mend in a file it warns of
        shown = progress and len(files) >= MANY
        for file in tqdm(files, "reading", unit=" files", disable=None if shown else True):
            name = file.relative_to(folder)
            try:
                x = _square(_read(file), size)
            except Exception as error:  # broken files make it raise nearly anything
                skipped.append(f"{name} ({_reason(error)})")
                continue
            x = _to_grey(x) if grey else x
            if read and x.shape[:2] != read[0].shape[:2]:
                raise ValueError(
                    f"pictures: the pictures in {folder} differ in size: "
                    f"{_sizes(files)}; say which `size` they shall have"
                )
            if not read or x.shape[-1] != read[-1].shape[-1]:
                _check_memory(len(files), x.shape)
            read.append(x)
            if names:
                labels.append(names.index(name.parts[0]))
    if not read:
        raise ValueError(
            f"pictures: none of the {len(files)} files in {folder} could be read, {skipped[0]}"
        )
    if skipped:
        named, more = ", ".join(skipped[:NAMED]), len(skipped) - NAMED
        text = f"{len(skipped)} of {len(files)} files could not be read: {named}"
        warnings.warn(text + (f", and {more} more" if more > 0 else ""), stacklevel=3)
    images = np.empty((len(read), *read[0].shape[:2], max(x.shape[-1] for x in read)), np.float32)
    for i in range(len(read)):
        images[i], read[i] = read[i], images[:0]  # dropped at once: there is no room for both
    numbers = np.array(labels, np.int64) if names else None
    return Pictures(images, numbers, names, tuple(skipped))


def _files(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The pictures in the order of their paths, and the folders that are classes, if there are."""
    inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    loose = [each for each in inside if each.suffix.lower() in SUFFIXES and each.is_file()]
    classes = {each.name: _below(each) for each in inside if each.is_dir()}
    classes = {name: files for name, files in classes.items() if files}
    if loose and classes:  # of which class, or of how many, were they? Any guess may be wrong
        raise ValueError(
            f"pictures: {folder} has pictures, such as {loose[0].name}, beside the "
            f"folders {', '.join(classes)}; move them into a folder too, or give one "
            f"of the folders"
        )
    return loose + [file for files in classes.values() for file in files], tuple(classes)


def _below(folder: Path) -> list[Path]:
    found = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES)


def _refuse(error: OSError) -> None:
    raise error  # a folder that can't be read would else be left out without a word


def _read(file: Path) -> Array:
    """A picture as floats (H, W, C), with C = 1 if it is grey."""
    from PIL import Image, ImageOps

    if file.stat().st_size == 0:
        raise ValueError("empty")
    with Image.open(file, formats=FORMATS) as picture:
        if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or 1 << 30):
            raise ValueError(f"{picture.width} × {picture.height} pixels are too many")
        turned = ImageOps.exif_transpose(picture)
    if turned.mode[0] in "IF":  # 16 bits, perhaps in 32, or floats: Pillow would clip them
        x = np.asarray(turned)
        return _scaled(x if x.dtype.kind == "f" else _sixteen_bits(x))[..., None]
    if "A" in turned.getbands() or "a" in turned.getbands() or "transparency" in turned.info:
        rgba = _scaled(np.asarray(turned.convert("RGBA")))
        x = 1 - rgba[..., 3:] * (1 - rgba[..., :3])  # α x + (1 − α) 1, on white
    else:
        x = _scaled(np.asarray(turned.convert("RGB")))
    return x[..., :1] if (x == x[..., :1]).all() else x


def _sixteen_bits(x: Array) -> Array:
    if x.size and (x.min() < 0 or x.max() > 65535):
        raise ValueError("its integers are not of 16 bits")
    return x.astype(np.uint16)


def _scaled(x: Array) -> Array:
    """As float32 from 0 to 1; unsigned integers are divided by the largest that there can be."""
    if x.dtype.kind == "u" and x.dtype.itemsize <= 2:
        return x / np.float32(np.iinfo(x.dtype).max)
    if x.dtype.kind == "b":
        return x.astype(np.float32)
    if x.dtype.kind != "f":
        raise ValueError(f"expected bytes (uint8) or floats, got {x.dtype}")
    if x.size and not (x.min() >= 0 and x.max() <= 1):  # nan is not
        raise ValueError(f"expected floats from 0 to 1, got {x.min():g} to {x.max():g}")
    return x.astype(np.float32, copy=False)


def _reason(error: Exception) -> str:
    """Why Pillow could not read a file, in a word or two."""
    text = str(error)
    if type(error).__name__ == "UnidentifiedImageError":
        return "not a picture"
    if "DecompressionBomb" in type(error).__name__:
        return "too many pixels"
    if "truncated" in text.lower() or isinstance(error, (EOFError, IndexError)):
        return "truncated"
    return getattr(error, "strerror", None) or text.partition("\n")[0] or type(error).__name__


def _sizes(files: list[Path]) -> str:
    """The most frequent sizes and how often each occurs, by the files' headers alone."""
    from PIL import Image

    found: Counter[str] = Counter()
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as picture:
                lies = picture.getexif().get(0x0112, 1) >= 5  # the camera was held upright
                found[" × ".join(map(str, picture.size[:: -1 if lies else 1]))] += 1
        except Exception:  # named elsewhere
            continue
    shown = ", ".join(f"{size} ({n})" for size, n in found.most_common(NAMED))
    return shown + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")


# --- a file of arrays -----------------------------------------------------------------------------


def _from_arrays(path: Path, size: int | None, grey: bool) -> Pictures:
    x, labels = _named(path, _loaded(path))
    found = x.shape
    if x.ndim == 3:
        x = x[..., None]  # (N, H, W, 1)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or x.size == 0:
        raise ValueError(
            f"pictures: expected images of shape (N, H, W), or (N, H, W, C) with C "
            f"1 or 3, in {path}, got {found}"
        )
    n, H, W, C = x.shape
    shape = (H, W) if size is None else (size, size)
    _check_memory(n, (*shape, 1 if grey else C))
    images = np.empty((n, *shape, 1 if grey else C), np.float32)
    step = max(1, PIECE // (H * W * C))  # so many at a time: floats of all would need much room
    for i in range(0, n, step):
        try:
            part = _square(_scaled(x[i : i + step]), size)
        except ValueError as error:
            raise ValueError(f"pictures: {path}: {error}") from None
        images[i : i + step] = _to_grey(part) if grey else part
    return Pictures(images, labels, (), ())


def _loaded(path: Path) -> dict[str, Array]:
    """The arrays of a file that may matter, by name; a .npy file's only one is `images`."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":  # no archive of several
                return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            names = {"images", "labels"} if "images" in archive else set(archive)
            return {name: archive[name] for name in archive if name in names}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"pictures: {path} can't be read, {error}") from error


def _named(path: Path, arrays: Mapping[str, Array]) -> tuple[Array, Array | None]:
    """The images and the labels, if there are any, of the arrays in a file."""
    names = [name for name in arrays if name != "labels"]
    images = "images" if "images" in arrays else names[0] if len(names) == 1 else None
    if images is None:
        raise ValueError(
            f"pictures: expected an array `images` in {path}, got {', '.join(arrays) or 'none'}"
        )
    x, labels = arrays[images], arrays.get("labels")
    if labels is None:
        return x, None
    if labels.shape != x.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"pictures: expected `labels` to be integers of shape {x.shape[:1]} in "
            f"{path}, got {labels.dtype} of shape {labels.shape}"
        )
    return x, labels.astype(np.int64)


# --- resizing -------------------------------------------------------------------------------------


def resize(images: Any, size: int | tuple[int, int]) -> Array:
    """R x Sᵀ: images (…, H, W, C) in another size, `size` × `size` or (height, width)

    R and S take weighted means, of rows and of columns. A smaller image's pixel is the mean over
    the area that it covers, which leaves no jagged edges and keeps the mean of the whole; a larger
    image's pixel lies on the straight line between the two nearest.
    """
    x = to_numpy(images.data if isinstance(images, Tensor) else images)
    if x.dtype.kind != "f":
        raise TypeError(f"resize: expected `images` to be floats, got {x.dtype}")
    if x.ndim < 3 or 0 in x.shape[-3:]:
        raise ValueError(f"resize: expected `images` of shape (…, H, W, C), got {x.shape}")
    pair = size if isinstance(size, tuple) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= 1 for n in pair):
        raise ValueError(f"resize: expected `size` to be an int ≥ 1 or two, got {size!r}")
    *N, H, W, C = x.shape
    h, w = int(pair[0]), int(pair[1])
    if (h, w) == (H, W):
        return x.copy()
    rows = _means(H, h, x.dtype) @ x.reshape(*N, H, W * C)  # (…, h, W·C)
    y: Array = _means(W, w, x.dtype) @ rows.reshape(*N, h, W, C)  # (…, h, w, C)
    # a mean lies between the least and the largest; a rounded one may pass them by a hair
    return y.clip(x.min(), x.max(), out=y) if y.size else y


@functools.lru_cache(maxsize=64)
def _means(n: int, m: int, dtype: Any) -> Array:
    """The matrix (m, n) that makes m pixels of n. Pixel j is the interval from j to j + 1."""
    if m <= n:
        edges = np.arange(m + 1) * (n / m)  # of the new pixels
        covered = np.clip(edges[:, None] - np.arange(n), 0, 1)  # of each pixel, left of an edge
        weights: Array = np.diff(covered, axis=0) * (m / n)
    else:
        centres = np.clip((np.arange(m) + 0.5) * (n / m) - 0.5, 0, n - 1)
        weights = np.clip(1 - np.abs(centres[:, None] - np.arange(n)), 0, 1)
    return weights.astype(dtype)
