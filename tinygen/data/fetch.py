"""A published set of files, as bytes: found in a folder, or else downloaded, and proven genuine.

Servers refuse, stall, redirect in circles, stop halfway, or send a web page in the file's place;
disks are full or read-only; two programs begin at once. So no bytes are used before they have the
published checksum, which is that of the file unpacked. Whatever goes wrong with one mirror, the
next is asked. A file is written under another name and then renamed. And where all fails, one error
tells what was tried, why each failed, and what can be done.

`TINYGEN_DATA` names a folder to look in, and to download to. Without it there is the cache alone:
`$XDG_CACHE_HOME/tinygen`, or `~/.cache/tinygen`. Where `TINYGEN_OFFLINE` is 1 no mirror is asked.

Reading order: `Source`, then `fetch`, which names the steps: `_find`, `_download`, `_keep`.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import http.client
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResult  # the built-in one only since Python 3.11
from pathlib import Path
from typing import Any, NamedTuple

from tinygen._files import PART, replacing

__all__ = ["Source", "Unavailable", "at_hand", "fetch"]

TIMEOUT = 5.0  # seconds in which a mirror must answer. It may take breaks of twice as long later
SLOWEST = 1 << 10  # bytes a second: a mirror that sends less has stalled
LIMIT = 1 << 28  # bytes of a file, packed or not; a stream without end must end somewhere
DAY = 24 * 60 * 60.0


class Source(NamedTuple):
    """A set of files that is published. Folders have it under its `name`, or loose.

    `mirrors` are the URLs of folders, in which each file has ".gz" after its name. `checksums` has,
    for each file's name, "sha256:…" or "md5:…", in hexadecimal, of the file unpacked.
    """

    name: str
    mirrors: tuple[str, ...]
    checksums: Mapping[str, str]


class Unavailable(OSError):
    """A file is in no folder, and no mirror gave it. The first line of its text says which.

    The lines after it say where it was looked for, what was wrong there, and three ways on.
    """


def fetch(
    source: Source, *, progress: bool = False, timeout: float = TIMEOUT, limit: int = LIMIT
) -> dict[str, bytes]:
    """Every file of the set by its name, unpacked; `Unavailable` as soon as one can't be had.

    A mirror has `timeout` seconds to answer, and no file may have more than `limit` bytes. With
    `progress`, standard error shows each download: a bar at a terminal, elsewhere a line.
    """
    _check(source)
    given, cache = folders(source.name)
    mirrors, unkept, files = list(source.mirrors), "", {}
    for folder in {cache, *given}:
        _sweep(folder, source.checksums)
    for name, checksum in source.checksums.items():
        data, wrong = _find(source, name, limit)
        if data is None:
            data, refusals = _download(name, checksum, mirrors, progress, timeout, limit)
            if data is None:
                raise Unavailable(_report(source, name, wrong, refusals))
            # a bad file in a folder of the user's is the user's: the good one goes elsewhere
            theirs = given[:1] if not any(path.parent in given for path in wrong) else []
            unkept = _keep(data, name, [*theirs, cache]) or unkept
        files[name] = data
        for path, reason in wrong.items():
            warnings.warn(f"{path} can't be used: {reason}", stacklevel=2)
    if unkept:
        warnings.warn(
            f"{source.name} could not be kept in {unkept}; it is used from memory, and "
            f"must be downloaded again next time",
            stacklevel=2,
        )
    return files


def at_hand(source: Source, *, limit: int = LIMIT) -> bool:
    """Whether folders have every file of the set, genuine: `fetch` then needs no network.

    It reads them all, so that it takes about as long as `fetch`.
    """
    _check(source)
    return all(_find(source, name, limit)[0] is not None for name in source.checksums)


def _check(source: Source) -> None:
    for name, checksum in source.checksums.items():
        if not re.fullmatch(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", checksum):
            raise ValueError(
                f'fetch: expected the checksum of {name} to be "sha256:" or "md5:" '
                f"and hexadecimal digits, got {checksum!r}"
            )


# --- in a folder ----------------------------------------------------------------------------------


def folders(name: str) -> tuple[list[Path], Path]:
    """The folders that the user has named, none or two; and that of the cache."""
    chosen = os.path.expanduser(os.environ.get("TINYGEN_DATA", ""))
    given = [Path(chosen, name), Path(chosen)] if chosen else []
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():  # unset, or as good as unset: so its specification says
        try:
            root = Path.home() / ".cache"
        except RuntimeError:  # a user without a home
            root = Path(tempfile.gettempdir())
    return given, root / "tinygen" / name


def _in_turn(name: str) -> list[Path]:
    given, cache = folders(name)
    # loose files come last: they may well be another set's, whose files have the same names
    return [*given[:1], cache, *given[1:]]


def _find(source: Source, name: str, limit: int) -> tuple[bytes | None, dict[Path, str]]:
    """The file from the first folder where it is genuine; and what is wrong with those before."""
    wrong: dict[Path, str] = {}
    for folder in _in_turn(source.name):
        for path in (folder / name, folder / f"{name}.gz"):
            try:
                with path.open("rb") as file:
                    packed = file.read(limit + 1)
                return _genuine(packed, source.checksums[name], limit), wrong
            except (FileNotFoundError, NotADirectoryError):
                continue
            except Exception as error:
                wrong[path] = _reason(error)
    return None, wrong


def _genuine(data: bytes, checksum: str, limit: int) -> bytes:
    """The bytes unpacked, if they were packed, and an error unless they have the checksum."""
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data, limit)
    algorithm, _, expected = checksum.partition(":")
    found = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    if found == expected:
        return data
    if not data:
        raise ValueError("it is empty")
    if data[:64].lstrip()[:1] == b"<":
        raise ValueError("it is a web page, not the file")
    raise ValueError(f"its checksum is wrong ({algorithm} {found[:8]}…, not {expected[:8]}…)")


def _unpacked(packed: bytes, limit: int) -> bytes:
    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        data = gzip.decompress(packed, limit + 1)  # a few packed bytes may be a billion
    except zlib.error:
        raise ValueError("it is damaged and can't be unpacked") from None
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes when unpacked")
    if not gzip.eof:
        raise ValueError("it is cut short and can't be unpacked")
    return data


def _keep(data: bytes, name: str, folders: list[Path]) -> str:
    """Write the file into the first of the folders that takes it; or say which did not, and why."""
    refusals = []
    for folder in folders:
        try:
            with replacing(folder / name) as file:
                file.write(data)
            return ""
        except OSError as error:
            refusals.append(f"{folder} ({_reason(error)})")
    return " or ".join(refusals)


def _sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what programs that were killed left half written; younger than a day, it may grow."""
    with contextlib.suppress(OSError):  # no such folder, or another program was faster
        for name in names:
            for part in folder.glob(f".{glob.escape(name)}.*{PART}"):
                if time.time() - part.stat().st_mtime > DAY:
                    part.unlink()


# --- from a mirror --------------------------------------------------------------------------------


def _download(
    name: str, checksum: str, mirrors: list[str], progress: bool, timeout: float, limit: int
) -> tuple[bytes | None, dict[str, str]]:
    """The file from the first mirror that gives it, and why those before did not.

    The mirror that did goes to the front of the list: it is asked first for the next file.
    """
    refusals: dict[str, str] = {}
    if os.environ.get("TINYGEN_OFFLINE", "0") not in ("", "0"):
        return None, dict.fromkeys(mirrors, "not asked, because TINYGEN_OFFLINE is set")
    for mirror in mirrors:
        try:
            with (
                _bar(name, urllib.parse.urlsplit(mirror).hostname or mirror, progress) as bar,
                _answer(f"{mirror.rstrip('/')}/{name}.gz", timeout) as response,
            ):
                packed = _body(response, bar, 2 * timeout, limit)
            data = _genuine(packed, checksum, limit)
        except Exception as error:  # not KeyboardInterrupt: who stops it wants no other mirror
            refusals[mirror] = _reason(error)
        else:
            mirrors.remove(mirror)
            mirrors.insert(0, mirror)
            return data, refusals
    return None, refusals


@contextlib.contextmanager
def _bar(name: str, host: str, progress: bool) -> Iterator[Any]:
    """With `progress` a bar at a terminal, and elsewhere a line."""
    from tqdm import tqdm

    terminal = sys.stderr is not None and sys.stderr.isatty()
    if progress and not terminal:
        print(f"downloading {name} from {host}", file=sys.stderr, flush=True)
    hidden = not (progress and terminal)
    with tqdm(desc=f"{name} from {host}", unit="B", unit_scale=True, disable=hidden) as bar:
        yield bar


def _answer(url: str, timeout: float) -> http.client.HTTPResponse:
    """What the server answers, if it does so within `timeout` seconds.

    A socket's own timeout holds for one address of the host, one redirection, one line of a header:
    together they may take minutes. So a thread asks, and is left to itself when the time is over.
    """
    answer: Future[http.client.HTTPResponse] = Future()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "tinygen"})
            opener = urllib.request.build_opener()  # a fresh one, for proxies that were set late
            answer.set_result(opener.open(request, timeout=2 * timeout))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="tinygen download", daemon=True).start()
    try:
        return answer.result(timeout)
    except BaseException as error:
        answer.add_done_callback(_close)  # now, or when it comes
        if isinstance(error, NoResult):
            raise TimeoutError(f"no answer for {timeout:g} seconds") from None
        raise


def _close(answer: Future[http.client.HTTPResponse]) -> None:
    got = answer.exception() or answer.result()
    if isinstance(got, (http.client.HTTPResponse, urllib.error.HTTPError)):
        got.close()


def _body(response: http.client.HTTPResponse, bar: Any, timeout: float, limit: int) -> bytes:
    """All that the server said it would send; it may stall for no more than `timeout` seconds."""
    length, body = response.length, bytearray()
    if length is not None and length > limit:
        raise ValueError(f"it has {length} bytes, more than {limit}")
    bar.total = length
    before, since = 0, time.monotonic()
    while length is None or len(body) < length:
        part = response.read1(1 << 16)
        if not part:
            break
        body += part
        bar.update(len(part))
        if len(body) > limit:
            raise ValueError(f"it has more than {limit} bytes")
        now = time.monotonic()
        if now - since > timeout:
            if len(body) - before < SLOWEST * timeout:
                raise TimeoutError(f"next to nothing came for {timeout:g} seconds")
            before, since = len(body), now
    if length is not None and len(body) < length:
        raise ValueError(f"it is cut short, {len(body)} of {length} bytes came")
    return bytes(body)


# --- what to tell ---------------------------------------------------------------------------------


def _reason(error: Exception) -> str:
    """An error in a few words, without what its reader knows: which file, which server."""
    if isinstance(error, urllib.error.HTTPError):
        circle = "infinite loop" in str(error.reason)
        return "it redirects in a circle" if circle else f"HTTP {error.code} {error.reason}".strip()
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "no such host is known; is there a network?"
    if isinstance(cause, ssl.SSLError):
        return f"no safe connection (TLS: {(cause.reason or str(cause)).replace('_', ' ').lower()})"
    text = getattr(cause, "strerror", None) or str(cause)
    return text.partition("\n")[0] or type(cause).__name__


def _report(
    source: Source, name: str, wrong: Mapping[Path, str], refusals: Mapping[str, str]
) -> str:
    given, cache = folders(source.name)
    why = "; ".join(dict.fromkeys(refusals.values())) or "none is known"
    lines = [f"{source.name}: no folder has {name}, and no mirror gave it ({why})"]
    for folder in _in_turn(source.name):
        bad = [f"{path.name}: {reason}" for path, reason in wrong.items() if path.parent == folder]
        lines.append(f"  looked in {folder}: {'; '.join(bad) or 'not there'}")
    lines += [f"  asked {mirror}: {reason}" for mirror, reason in refusals.items()]
    return "\n".join(
        [
            *lines,
            "Three ways on:",
            f"  1. put {', '.join(source.checksums)},",
            f"     as they are or with .gz, into {[*given, cache][0]}",
            f"  2. set TINYGEN_DATA to a folder that has them, itself or in {source.name}",
            "  3. do with the built-in digits: `data.digits`, or `--data digits` with the examples",
        ]
    )
