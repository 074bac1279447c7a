"""Published data sets: found in a folder or downloaded, and verified by checksum.

If a mirror fails, stalls, or sends anything with a wrong checksum, the next one is tried.
`TINYGEN_DATA` names a folder to search and to download to. The cache is `$XDG_CACHE_HOME/tinygen`
or `~/.cache/tinygen`. `TINYGEN_OFFLINE=1` disables downloads.
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

TIMEOUT = 10.0  # seconds to wait for data
SLOWEST = 10_000  # bytes that must arrive in that time
LIMIT = 1 << 28  # bytes of a file, compressed or not, in case a stream never ends


class Source(NamedTuple):
    """A published set of files; local copies are in a folder called `name`, or loose."""

    name: str
    mirrors: tuple[str, ...]  # URLs of folders that have each file as NAME.gz
    checksums: Mapping[str, str]  # of each file by name, uncompressed: "sha256:…" or "md5:…"


class Unavailable(OSError):
    """A file was not found in a local folder or on a mirror. The first line names it."""


def fetch(source: Source, *, progress: bool = False) -> dict[str, bytes]:
    """The uncompressed files of the set by name; raises `Unavailable` if one is missing."""
    offline = os.environ.get("TINYGEN_OFFLINE", "0") not in ("", "0")
    mirrors, files = list(source.mirrors), {}
    for name, checksum in source.checksums.items():
        data, failures = _find(source, name)
        for path, reason in failures.items():
            warnings.warn(f"{path} can't be used: {reason}", stacklevel=2)
        for mirror in mirrors if data is None else []:
            try:
                if offline:
                    raise ConnectionError("downloads are disabled by TINYGEN_OFFLINE")
                url = f"{mirror.rstrip('/')}/{name}.gz"
                data = _genuine(_download(url, progress), checksum)
            except Exception as error:  # not KeyboardInterrupt, which stops all downloads
                failures[mirror] = _reason(error)
            else:
                mirrors.insert(0, mirrors.pop(mirrors.index(mirror)))  # try it first next time
                _keep(data, name, source)
                break
        if data is None:
            raise Unavailable(_report(source, name, failures))
        files[name] = data
    return files


def at_hand(source: Source) -> bool:
    """Whether all files are stored locally with the right checksums, so `fetch` works offline."""
    return all(_find(source, name)[0] is not None for name in source.checksums)


def folders(name: str) -> list[Path]:
    """The folders to search: `TINYGEN_DATA/name`, the cache, then `TINYGEN_DATA` itself."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(root if os.path.isabs(root) else "~/.cache").expanduser() / "tinygen" / name
    own = os.environ.get("TINYGEN_DATA", "")
    # loose files come last: sets use the same file names, so they may be another's
    return [Path(own, name).expanduser(), cache, Path(own).expanduser()] if own else [cache]


def _find(source: Source, name: str) -> tuple[bytes | None, dict[str, str]]:
    """The first copy with the right checksum, and why copies before it can't be used."""
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
    """The bytes, uncompressed; raises an error unless they match the checksum."""
    if data[:2] == b"\x1f\x8b":
        data = zlib.decompressobj(wbits=31).decompress(data, LIMIT)  # 31: gzip's format
    algorithm, _, expected = checksum.partition(":")
    if hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() != expected:
        page = data[:64].lstrip().startswith(b"<")
        raise ValueError("it is a web page, not the file" if page else "its checksum is wrong")
    return data


def _download(url: str, progress: bool) -> bytes:
    """The whole file; raises an error if it stalls or is cut short."""
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "tinygen"})
    title = f"{Path(url).stem} from {request.host}"
    opener = urllib.request.build_opener()  # a new one reads the current proxy settings
    with opener.open(request, timeout=TIMEOUT) as response:
        total, body, mark, since = response.length, bytearray(), 0, time.monotonic()
        with tqdm(None, title, total, unit="B", unit_scale=True, disable=no_bar(progress)) as bar:
            while len(body) < min(total or LIMIT, LIMIT) and (part := response.read1(1 << 16)):
                body += part
                bar.update(len(part))
                if len(body) - mark >= SLOWEST:
                    mark, since = len(body), time.monotonic()
                elif time.monotonic() - since > TIMEOUT:
                    raise TimeoutError(f"stalled: less than {SLOWEST} bytes in {TIMEOUT:g} s")
    if total and len(body) < total:
        raise ValueError(f"it is cut short: {len(body)} of {total} bytes received")
    return bytes(body)


def no_bar(progress: bool) -> bool | None:
    """tqdm's `disable`: True hides the bar, None shows it in a terminal only."""
    return True if not (progress and sys.stderr) else False if in_notebook() else None


def in_notebook() -> bool:
    """Whether standard error is the output of a cell, where a carriage return rewrites a line"""
    return type(sys.stderr).__module__.startswith("ipykernel.")


def _keep(data: bytes, name: str, source: Source) -> None:
    """Write the file to the first writable folder, but never over the user's own file."""
    *own, cache = folders(source.name)[:2]
    places, refusals = [folder for folder in own if not (folder / name).exists()], []
    for folder in [*places, cache]:
        try:
            with replacing(folder / name) as file:
                file.write(data)
            return
        except OSError as error:
            refusals.append(f"{folder} ({_reason(error)})")
    warnings.warn(f"{source.name} can't be saved in {' or '.join(refusals)}", stacklevel=3)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error) or repr(error)).partition("\n")[0]


def _report(source: Source, name: str, failures: Mapping[str, str]) -> str:
    places = folders(source.name)
    why = "; ".join(dict.fromkeys(failures[m] for m in source.mirrors)) or "no mirror is known"
    tried = "".join(f"\n  looked in {folder}" for folder in places)
    tried += "".join(f"\n  tried {place}: {reason}" for place, reason in failures.items())
    return f"""{source.name}: {name} was not found in a local folder or on a mirror ({why}){tried}
To continue, do one of the following:
  1. put {", ".join(source.checksums)},
     with or without .gz, into {places[0]}
  2. set TINYGEN_DATA to a folder that has them, or that has a folder {source.name} with them
  3. use the built-in synthetic digits: `data.digits`, or `--data digits` in the examples"""
