"""A checkpoint: all that a run needs to go on as if it had never been stopped, in one `.npz`.

A run is made of parts: a model, an optimiser, an average of its weights, the batches, a random
generator. Each part's `state_dict()` is a few named arrays; the file holds them as `part/name`,
and beside them one text, `about`. Nothing in it is a pickled object, so to open a checkpoint is
never to run a stranger's program.

Reading order: `save`, `load`, `load_part`; below them, what a part is.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygen._files import save_arrays
from tinygen._random import restore, state_of
from tinygen._types import Array
from tinygen.nn import Module

FORMAT = "tinygen checkpoint 1"

State = Mapping[str, Any]  # arrays by name


class CheckpointError(ValueError):
    """The file is damaged, of another program, or of another run than this."""


def save(path: str | os.PathLike[str], parts: Mapping[str, Any], **about: Any) -> None:
    """Write the state of the parts, and `about`, which must fit into JSON, into one file.

    The old file stays until the new one is whole.
    """
    arrays = {
        f"{part}/{name}": array
        for part, each in parts.items()
        for name, array in state(each).items()
    }
    text = np.array(json.dumps({"format": FORMAT, "parts": list(parts), **about}))
    save_arrays(path, about=text, **arrays)


def load(path: str | os.PathLike[str], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the saved state into the parts, and return `about`; if anything is wrong, into none."""
    about, arrays = read(path)
    problems = [f"missing: {name}" for name in parts if name not in about["parts"]]
    problems += [f"unexpected: {name}" for name in about["parts"] if name not in parts]
    if problems:
        raise CheckpointError(
            f"{path} is of another run; its parts are {about['parts']}\n  " + "\n  ".join(problems)
        )
    before = {name: state(each) for name, each in parts.items()}
    part = ""
    try:
        for part, each in parts.items():
            put(each, _of(part, arrays))
    except Exception as error:
        for name, each in parts.items():
            put(each, before[name])
        raise CheckpointError(f"{path} does not fit: {part}: {error}") from error
    return about


def load_part(path: str | os.PathLike[str], name: str, part: Any) -> None:
    """Put one saved part alone into `part`: the trained model of another run, say."""
    about, arrays = read(path)
    if name not in about["parts"]:
        raise CheckpointError(f"{path} has no part `{name}`; its parts are {about['parts']}")
    try:
        put(part, _of(name, arrays))
    except Exception as error:
        raise CheckpointError(f"{path} does not fit: {name}: {error}") from error


def _of(part: str, arrays: State) -> dict[str, Any]:
    prefix = f"{part}/"
    return {k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)}


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """What the file says about itself, and its arrays, every byte of them checked."""
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()  # reads all of it, and compares checksums
        if damaged:
            raise CheckpointError(f"{path} is damaged: {damaged} is not what was written")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    except (
        OSError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        RuntimeError,
    ) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {error}") from error
    try:
        about = json.loads(str(arrays.pop("about")[()]))
        known = about["format"] == FORMAT
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path} is not a checkpoint of tinygen's") from None
    if not known:
        raise CheckpointError(
            f"{path} has the format {about['format']!r}; this version of tinygen reads {FORMAT!r}"
        )
    return about, arrays


# --- parts ----------------------------------------------------------------------------------------


def check(parts: Mapping[str, Any]) -> None:
    """An error unless each part is a generator, or has a state that can be saved and loaded."""
    for name, each in parts.items():
        if "/" in name or not name:
            raise ValueError(f"checkpoint: a part can not be called {name!r}")
        both = hasattr(each, "state_dict") and hasattr(each, "load_state_dict")
        if not both and not isinstance(each, np.random.Generator):
            raise TypeError(
                f"checkpoint: expected the part `{name}` to be a generator, or to have "
                f"state_dict() and load_state_dict(), got a {type(each).__name__}"
            )


def state(part: Any) -> dict[str, Any]:
    """A part's arrays by name; a module's with the generators in it, as dropout has one."""
    if isinstance(part, np.random.Generator):
        return {"state": state_of(part)}
    arrays = dict(part.state_dict())
    for name, rng in _generators(part):
        arrays[f"{name}:generator"] = state_of(rng)
    return arrays


def put(part: Any, saved: State) -> None:
    """Give a part back the arrays that `state` made of it."""
    if isinstance(part, np.random.Generator):
        restore(part, saved["state"])
        return
    inside = {f"{name}:generator": rng for name, rng in _generators(part)}
    missing = [name for name in inside if name not in saved]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    part.load_state_dict({name: a for name, a in saved.items() if name not in inside})
    for name, rng in inside.items():
        restore(rng, saved[name])


def _generators(part: Any) -> Iterator[tuple[str, np.random.Generator]]:
    if isinstance(part, Module):
        for name, module in part.named_modules():
            for attribute, value in vars(module).items():
                if isinstance(value, np.random.Generator):
                    yield f"{name}.{attribute}" if name else attribute, value
