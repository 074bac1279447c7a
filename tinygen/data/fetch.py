"""A published set of files, as bytes: found in a folder, or else downloaded, and proven genuine.

Servers refuse, stall, stop halfway, or send a web page in the file's place. So no bytes are used
before they have the published checksum; whatever goes wrong with one mirror, the next is asked.

`TINYGEN_DATA` names a folder to look in, and to download to. Without it there is the cache alone:
`$XDG_CACHE_HOME/tinygen`, or `~/.cache/tinygen`. Where `TINYGEN_OFFLINE` is 1 no mirror is asked.
"""

import hashlib
import os
import sys
import time
import urllib.request
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tinygen._files import replacing

__all__ = ["Source", "Unavailable", "at_hand", "fetch"]

TIMEOUT = 10.0  # seconds that a mirror may be silent
SLOWEST = 10_000  # bytes that must come in that time: a mirror that sends less has stalled
LIMIT = 1 << 28  # bytes of a file, packed or not; a stream without end must end somewhere


class Source(NamedTuple):
    """A set of files that is published. Folders have it under its `name`, or loose."""

    name: str
    mirrors: tuple[str, ...]  # URLs of folders, in which each file has ".gz" after its name
    checksums: Mapping[str, str]  # of each file's name, unpacked: "sha256:…" or "md5:…"


class Unavailable(OSError):
    """A file is in no folder, and no mirror gave it. The first line of its text says which."""


def fetch(source: Source, *, progress: bool = False) -> dict[str, bytes]:
    """Every file of the set by its name, unpacked; `Unavailable` as soon as one can't be had."""
    offline = os.environ.get("TINYGEN_OFFLINE", "0") not in ("", "0")
    mirrors, files = list(source.mirrors), {}
    for name, checksum in source.checksums.items():
        data, failures = _find(source, name)
        for path, reason in failures.items():
            warnings.warn(f"{path} can't be used: {reason}", stacklevel=2)
        for mirror in mirrors if data is None else []:
            try:
                if offline:
                    raise ConnectionError("not asked, because TINYGEN_OFFLINE is set")
                url = f"{mirror.rstrip('/')}/{name}.gz"
                data = _genuine(_download(url, progress), checksum)
            except Exception as error:  # not KeyboardInterrupt: who stops it wants no other mirror
                failures[mirror] = _reason(error)
            else:
                mirrors.insert(0, mirrors.pop(mirrors.index(mirror)))  # the first for the next file
                _keep(data, name, source)
                break
        if data is None:
            raise Unavailable(_report(source, name, failures))
        files[name] = data
    return files


def at_hand(source: Source) -> bool:
    """Whether folders have every file of the set, genuine: `fetch` then needs no network."""
    return all(_find(source, name)[0] is not None for name in source.checksums)


def folders(name: str) -> list[Path]:
    """Where a set's files may be: in the user's folder for it, the cache, the user's folder."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(root if os.path.isabs(root) else "~/.cache").expanduser() / "tinygen" / name
    own = os.environ.get("TINYGEN_DATA", "")
    # loose files come last: they may well be another set's, whose files have the same names
    return [Path(own, name).expanduser(), cache, Path(own).expanduser()] if own else [cache]


def _find(source: Source, name: str) -> tuple[bytes | None, dict[str, str]]:
    """The file from the first folder where it is genuine; and what is wrong with those before."""
    failures: dict[str, str] = {}
    for folder in folders(source.name):
        for path in (folder / name, folder / f"{name}.gz"):
            try:
                return _genuine(path.read_bytes(), source.checksums[name]), failures
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, zlib.error) as error:
                failures[str(path)] = _reason(error)
    return None, failures


def _genuine(data: bytes, checksum: str) -> bytes:
    """The bytes unpacked, if they were packed, and an error unless they have the checksum."""
    if data[:2] == b"\x1f\x8b":
        data = zlib.decompressobj(wbits=31).decompress(data, LIMIT)  # 31: gzip's format
    algorithm, _, expected = checksum.partition(":")
    if hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() != expected:
        page = data[:64].lstrip().startswith(b"<")
        raise ValueError("it is a web page, not the file" if page else "its checksum is wrong")
    return data


def _download(url: str, progress: bool) -> bytes:
    """All that the server said it would send, unless it is silent, or next to it, for too long."""
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "tinygen"})
    title = f"{Path(url).stem} from {request.host}"
    opener = urllib.request.build_opener()  # a fresh one, for proxies that were set late
    with opener.open(request, timeout=TIMEOUT) as response:
        total, body, mark, since = response.length, bytearray(), 0, time.monotonic()
        with tqdm(None, title, total, unit="B", unit_scale=True, disable=no_bar(progress)) as bar:
            while len(body) < min(total or LIMIT, LIMIT) and (part := response.read1(1 << 16)):
                body += part
                bar.update(len(part))
                if len(body) - mark >= SLOWEST:
                    mark, since = len(body), time.monotonic()
                elif time.monotonic() - since > TIMEOUT:
                    raise TimeoutError(f"next to nothing came for {TIMEOUT:g} seconds")
    if total and len(body) < total:
        raise ValueError(f"it is cut short, {len(body)} of {total} bytes came")
    return bytes(body)


def no_bar(progress: bool) -> bool | None:
    """For tqdm's `disable`: True, or None, which hides a bar only where there is no terminal."""
    return None if progress and sys.stderr else True


def _keep(data: bytes, name: str, source: Source) -> None:
    """Write the file into the first folder that takes it. A bad one of the user's own stays."""
    *own, cache = folders(source.name)[:2]
    places, refusals = [folder for folder in own if not (folder / name).exists()], []
    for folder in [*places, cache]:
        try:
            with replacing(folder / name) as file:
                file.write(data)
            return
        except OSError as error:
            refusals.append(f"{folder} ({_reason(error)})")
    warnings.warn(f"{source.name} can't be kept in {' or '.join(refusals)}", stacklevel=3)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error) or repr(error)).partition("\n")[0]


def _report(source: Source, name: str, failures: Mapping[str, str]) -> str:
    places = folders(source.name)
    why = "; ".join(dict.fromkeys(failures[m] for m in source.mirrors)) or "none is known"
    tried = "".join(f"\n  looked in {folder}" for folder in places)
    tried += "".join(f"\n  tried {place}: {reason}" for place, reason in failures.items())
    return f"""{source.name}: no folder has {name}, and no mirror gave it ({why}){tried}
Three ways on:
  1. put {", ".join(source.checksums)},
     as they are or with .gz, into {places[0]}
  2. set TINYGEN_DATA to a folder that has them, itself or in {source.name}
  3. do with the built-in digits: `data.digits`, or `--data digits` with the examples"""
