"""The folder of a run: `config.json`, a lock during the run, and the renaming of older runs.

A resumed run must have the settings of its checkpoint, except those that do not affect past steps.
"""

import itertools
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinygen._files import PART, replacing
from tinygen.autograd import backend

__all__ = ["RunError", "settings_of"]

CONFIG = "config.json"
MARKS = (CONFIG, "checkpoint.npz", "log.csv")  # a run's folder has at least one of these
LOCKED: dict[Path, IO[bytes]] = {}  # by this process
FREE = {"backend", "epochs", "out", "resume", "samples"}  # settings that may change on resuming


class RunError(ValueError):
    """The run can't start or resume in this folder."""


def enter(folder: Path, settings: dict[str, Any], resume: bool, free: set[str]) -> IO[bytes]:
    """Start a run, or resume one whose settings may differ only in `free`; return the lock."""
    if resume:
        saved = {**settings, **read_config(folder)["settings"]}
        if differ := [k for k in settings if k not in free and saved[k] != settings[k]]:
            were = ", ".join(f"`{k}` was {saved[k]!r}, not {settings[k]!r}" for k in differ)
            raise RunError(f"the run in {folder} has different settings: {were}")
    elif any((folder / name).exists() for name in MARKS):
        lock(folder).close()  # an error if it is still running
        names = (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(1))
        older = folder.rename(next(name for name in names if not name.exists()))
        say(f"Renamed the older run in {folder} to {older}.")
    folder.mkdir(parents=True, exist_ok=True)
    file = lock(folder)
    for part in folder.glob(f".*.[0-9]*-[0-9]*{PART}"):  # left by a run that was killed
        part.unlink(missing_ok=True)
    if not resume:
        write_json(folder / CONFIG, {"settings": settings, **_now("begun"), "resumed": []})
    return file


def note(folder: Path, settings: dict[str, Any], step: int) -> None:
    """Record in `config.json` that the run resumed from `step`, and its new settings."""
    config = read_config(folder)
    config["settings"] |= settings
    config["resumed"].append({"step": step, **_now("at")})
    write_json(folder / CONFIG, config)


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a run to resume."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return {**config, "settings": {**config["settings"]}, "resumed": [*config["resumed"]]}
    except FileNotFoundError:
        raise RunError(f"there is no run to resume in {folder}: it has no {CONFIG}") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path} is damaged: expected `settings` and `resumed` in JSON") from None


def settings_of(folder: Path, program: str, *needed: str) -> dict[str, Any]:
    """The settings, `needed` among them, of the trained run in a folder by examples/`program`"""
    if not (folder / "checkpoint.npz").exists():
        raise RunError(
            f"there is no trained model in {folder}; to train one:\n"
            f"  python examples/{program} --out {shlex.quote(str(folder))}"
        )
    settings: dict[str, Any] = read_config(folder)["settings"]
    if not settings.keys() >= {*needed}:
        raise RunError(f"expected {folder} to be a run of {program}, got another program's")
    return settings


def lock(folder: Path) -> IO[bytes]:
    """A file that stays locked until it is closed or the process ends.

    A notebook's cell may start the run again: in the same process, it takes over the lock.
    """
    key = folder.resolve()
    if key in LOCKED:
        LOCKED.pop(key).close()
    file = open(folder / ".lock", "ab")  # noqa: SIM115 (an open file is the lock)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        raise RunError(f"another process is using the run in {folder}") from None
    except OSError:  # the file system has no locks
        pass
    LOCKED[key] = file
    return file


def plain(value: Any) -> Any:
    """A NumPy number, an array or a path as a JSON value."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else os.fspath(value)


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, default=plain)
    with replacing(path) as file:
        file.write(f"{text}\n".encode())


def _now(event: str) -> dict[str, str]:
    """The time of the event, and the versions"""
    tinygen, python = sys.modules["tinygen"].__version__, platform.python_version()
    versions = {"tinygen": tinygen, "python": python, "numpy": np.__version__}
    return {event: time.strftime("%Y-%m-%dT%H:%M:%S%z"), **versions, "backend": backend.describe()}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
