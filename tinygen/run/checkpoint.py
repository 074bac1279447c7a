"""A checkpoint: all that a run needs to resume exactly, in one `.npz` file.

It has the arrays of each part (a model, an optimiser, a generator), named `part/name`, and a text,
`about`. Nothing is pickled, so opening a checkpoint never runs a stranger's code.
"""

import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygen import distributed
from tinygen._files import restore, save_arrays, state_of
from tinygen._types import Array, PathLike, Rng
from tinygen.autograd import Tensor, xp
from tinygen.nn import Module

FORMAT = "tinygen checkpoint 1"


class CheckpointError(ValueError):
    """The file is damaged, or is not a checkpoint, or is from another run."""


def save(path: PathLike, parts: Mapping[str, Any], **about: Any) -> None:
    """Write the state of the parts, and `about`, which must be JSON values, to one file."""
    arrays = _arrays(parts)
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
            put(part, _own(name, arrays))
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


def _arrays(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}/{k}": array for part in parts for k, array in state(parts[part]).items()}


def _own(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        k.removeprefix(f"{name}/"): array for k, array in arrays.items() if k.startswith(f"{name}/")
    }


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


# --- several processes train one model ------------------------------------------------------------


def share(parts: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Give all ranks the state and `about` of rank 0, but random numbers of their own."""
    arrays = distributed.broadcast({**_arrays(parts), "about": json.dumps(about)})
    shared: dict[str, Any] = json.loads(arrays.pop("about").item())
    for name, part in parts.items():
        put(part, _own(name, arrays))
    streams, own = shared.get("streams", []), distributed.rank()
    for i, rng in enumerate(_streams(parts)):
        if len(streams) == distributed.size():
            restore(rng, streams[own][i])
        else:
            bits: Any = rng.bit_generator
            bits.state = bits.jumped(own).state  # 2^127 φ draws ahead for each rank
    return shared


def streams(parts: Mapping[str, Any]) -> list[list[str]]:
    """The states of each rank's generators; an error if the ranks' parameters differ."""
    norms = {
        f"{part}.{name}": float(xp.linalg.norm(p.data))
        for part, module in parts.items()
        if isinstance(module, Module)
        for name, p in module.named_parameters()
    }
    for name, norm in distributed.broadcast(norms).items():
        if not math.isclose(norm, norms[name], rel_tol=1e-3, abs_tol=1e-6):
            raise RuntimeError(f"`{name}` differs between ranks: update it alike on all of them")
    own = {"states": np.array([str(state_of(rng)) for rng in _streams(parts)])}
    ranks = range(distributed.size())
    return [distributed.broadcast(own, rank)["states"].tolist() for rank in ranks]


def average_statistics(parts: Iterable[Any]) -> None:
    """Replace running statistics, which each rank computes from its images, by their averages."""
    modules = [part for part in parts if isinstance(part, Module)]
    kept = [x for module in modules for _, x in module.named_state()]
    kept = [x for x in kept if x.dtype.kind == "f" and not getattr(x, "requires_grad", False)]
    arrays = [x.data if isinstance(x, Tensor) else x for x in kept]
    for x, mean in zip(kept, distributed.average(arrays), strict=True):
        if isinstance(x, Tensor):
            x.data = mean
        else:
            x[...] = mean


def _streams(parts: Mapping[str, Any]) -> list[Rng]:
    """The distinct generators from which the parts draw"""
    found = [rng for part in parts.values() for rng in (part, getattr(part, "rng", None))]
    found += [rng for part in parts.values() for _, rng in _generators(part)]
    return list({id(rng): rng for rng in found if isinstance(rng, np.random.Generator)}.values())
