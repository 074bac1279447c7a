"""A checkpoint: all that a run needs to resume exactly, in one `.npz` file.

It has the arrays of each part (a model, an optimiser, a generator), named `part/name`, and a text,
`about`. Nothing is pickled, so opening a checkpoint never runs a stranger's code.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygen._files import restore, save_arrays, state_of
from tinygen._types import Array, PathLike, Rng
from tinygen.nn import Module

FORMAT = "tinygen checkpoint 1"


class CheckpointError(ValueError):
    """The file is damaged, or is not a checkpoint, or is from another run."""


def save(path: PathLike, parts: Mapping[str, Any], **about: Any) -> None:
    """Write the state of the parts, and `about`, which must be JSON values, to one file."""
    arrays = {f"{part}/{k}": array for part in parts for k, array in state(parts[part]).items()}
    text = json.dumps({"format": FORMAT, "parts": list(parts), **about})
    save_arrays(path, about=text, **arrays)


def load(path: PathLike, parts: Mapping[str, Any], *, partly: bool = False) -> dict[str, Any]:
    """Restore the parts and return `about`; after an error, no part has changed.

    The parts must be all that were saved or, with `partly`, some, such as another run's model.
    """
    about, arrays = read(path)
    missing = parts.keys() - set(about["parts"])
    if missing or (not partly and len(parts) != len(about["parts"])):
        differ = f"expected {[*parts]}, got {about['parts']}"
        raise CheckpointError(f"{path} is from another run: {differ}")
    before = {name: state(part) for name, part in parts.items()}
    try:
        for name, part in parts.items():
            own = [key for key in arrays if key.startswith(f"{name}/")]
            put(part, {key.removeprefix(f"{name}/"): arrays[key] for key in own})
    except Exception as error:
        for restored, part in parts.items():
            put(part, before[restored])
        raise CheckpointError(f"{path} does not fit: {name}: {error}") from error
    return about


def read(path: PathLike) -> tuple[dict[str, Any], dict[str, Array]]:
    """The `about` and the arrays of a file, after checking every byte."""
    try:
        with zipfile.ZipFile(path) as archive:
            if "about.npy" not in archive.namelist():
                raise ValueError("it has no `about`")
            for member in archive.infolist():
                _check_size(archive, member)
            if damaged := archive.testzip():  # reads everything and compares checksums
                raise ValueError(f"{damaged} has a wrong checksum")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(arrays.pop("about").item())
        if about["format"] != FORMAT:
            raise ValueError(f"expected the format {FORMAT!r}, got {about['format']!r}")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} is damaged, or not a checkpoint: {error}") from error
    return about, arrays


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Before anything is read: an array must be as large as it says, and not be compressed."""
    with archive.open(member) as file:
        kind = np.lib.format.read_magic(file)
        read_header = getattr(np.lib.format, f"read_array_header_{kind[0]}_0")
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} has objects, which only pickle could load")
        size = file.tell() + math.prod(shape) * dtype.itemsize
    if member.compress_type != zipfile.ZIP_STORED or size != member.file_size:
        raise ValueError(f"{member.filename} is compressed, or differs in size from its header")


def state(part: Any) -> dict[str, Any]:
    """A part's arrays by name, with those of generators inside a module, such as dropout's."""
    if isinstance(part, np.random.Generator):
        return {"state": state_of(part)}
    return {**part.state_dict(), **{key: state_of(rng) for key, rng in _generators(part)}}


def put(part: Any, saved: Mapping[str, Array]) -> None:
    """Restore a part from the arrays of `state`."""
    if isinstance(part, np.random.Generator):
        return restore(part, saved["state"])
    generators = dict(_generators(part))
    part.load_state_dict({key: a for key, a in saved.items() if key not in generators})
    for key, rng in generators.items():
        restore(rng, saved[key])


def _generators(part: Any) -> Iterator[tuple[str, Rng]]:
    for name, module in part.named_modules() if isinstance(part, Module) else ():
        for attribute, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                yield f"{name}.{attribute}:generator".removeprefix("."), value
