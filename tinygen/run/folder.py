"""The folder of a run: `config.json`, a lock while the run goes on, and room for a new one.

A run's settings belong to its checkpoint, so one that is resumed with others is refused, but for
those that change nothing of what it has computed so far.
"""

import itertools
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinygen._files import PART, replacing
from tinygen.autograd import backend

__all__ = ["RunError"]

CONFIG = "config.json"
MARKS = (CONFIG, "checkpoint.npz", "log.csv")  # of these a run's folder has at least one
FREE = {"backend", "epochs", "out", "resume", "samples"}  # what any resumed run may change


class RunError(ValueError):
    """The folder is not one in which this run can begin, or go on."""


def enter(folder: Path, settings: dict[str, Any], resume: bool, free: set[str]) -> IO[bytes]:
    """Begin a run in the folder, or resume the one in it, if its settings are these but for `free`.

    What is returned is the lock.
    """
    if resume:
        saved = {**settings, **read_config(folder)["settings"]}
        if differ := [k for k in settings if k not in free and saved[k] != settings[k]]:
            were = ", ".join(f"`{k}` was {saved[k]!r}, not {settings[k]!r}" for k in differ)
            raise RunError(f"the run in {folder} has other settings: {were}")
    elif any((folder / name).exists() for name in MARKS):
        lock(folder).close()  # not while it is going on
        names = (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(1))
        older = folder.rename(next(name for name in names if not name.exists()))
        say(f"The run that was in {folder} is in {older} now.")
    folder.mkdir(parents=True, exist_ok=True)
    file = lock(folder)
    for part in folder.glob(f".*.[0-9]*-[0-9]*{PART}"):  # left by a run that was killed
        part.unlink(missing_ok=True)
    if not resume:
        write_json(folder / CONFIG, {"settings": settings, **_now("begun"), "resumed": []})
    return file


def note(folder: Path, settings: dict[str, Any], step: int) -> None:
    """Add to `config.json` that the run went on from `step`, and with what."""
    config = read_config(folder)
    config["settings"] |= settings
    config["resumed"].append({"step": step, **_now("at")})
    write_json(folder / CONFIG, config)


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says of a run that is to be resumed."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return {**config, "settings": {**config["settings"]}, "resumed": [*config["resumed"]]}
    except FileNotFoundError:
        raise RunError(f"there is no run to resume in {folder}: it has no {CONFIG}") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path} is damaged: expected `settings` and `resumed` in JSON") from None


def lock(folder: Path) -> IO[bytes]:
    """A file that is locked until it is closed or the process ends, however it ends."""
    file = open(folder / ".lock", "ab")  # noqa: SIM115 (it stays open: that is the lock)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        raise RunError(f"another process is busy with the run in {folder}") from None
    except OSError:  # a file system without locks: then nobody has it
        pass
    return file


def plain(value: Any) -> Any:
    """A number of NumPy's or a path as JSON has it."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else os.fspath(value)


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, default=plain)
    with replacing(path) as file:
        file.write(f"{text}\n".encode())


def _now(event: str) -> dict[str, str]:
    """When, and with what versions"""
    tinygen, python = sys.modules["tinygen"].__version__, platform.python_version()
    versions = {"tinygen": tinygen, "python": python, "numpy": np.__version__}
    return {event: time.strftime("%Y-%m-%dT%H:%M:%S%z"), **versions, "backend": backend.describe()}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
