"""A checkpoint: all that a run needs to go on as if it had never been stopped, in one `.npz`.

Each part of a run, a model or an optimiser or a generator, is a few named arrays, `part/name` in
the file; beside them is one text, `about`. Nothing in it is a pickled object, so to open a
checkpoint is never to run a stranger's program.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygen._files import restore, save_arrays, state_of
from tinygen._types import Array, PathLike, Rng
from tinygen.nn import Module

FORMAT = "tinygen checkpoint 1"


class CheckpointError(ValueError):
    """The file is damaged, of another program, or of another run than this."""


def save(path: PathLike, parts: Mapping[str, Any], **about: Any) -> None:
    """Write the state of the parts, and `about`, which must fit into JSON, into one file."""
    arrays = {f"{part}/{k}": array for part in parts for k, array in state(parts[part]).items()}
    text = json.dumps({"format": FORMAT, "parts": list(parts), **about})
    save_arrays(path, about=text, **arrays)


def load(path: PathLike, parts: Mapping[str, Any], *, partly: bool = False) -> dict[str, Any]:
    """Put the saved state into the parts, and return `about`; if anything is wrong, into none.

    The parts are all that were saved, or `partly` only some of them: the model of another run, say.
    """
    about, arrays = read(path)
    missing = parts.keys() - set(about["parts"])
    if missing or (not partly and len(parts) != len(about["parts"])):
        differ = f"expected {[*parts]}, got {about['parts']}"
        raise CheckpointError(f"{path} is of another run: {differ}")
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
    """What the file says about itself, and its arrays, every byte of them checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # reads all of it, and compares checksums
                raise ValueError(f"{damaged} is not what was written")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(arrays.pop("about").item())
        if about["format"] != FORMAT:
            raise ValueError(f"expected the format {FORMAT!r}, got {about['format']!r}")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {error}") from error
    return about, arrays


def state(part: Any) -> dict[str, Any]:
    """A part's arrays by name; a module's with the generators in it, as dropout has one."""
    if isinstance(part, np.random.Generator):
        return {"state": state_of(part)}
    return {**part.state_dict(), **{key: state_of(rng) for key, rng in _generators(part)}}


def put(part: Any, saved: Mapping[str, Array]) -> None:
    """Give a part back the arrays that `state` made of it."""
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
