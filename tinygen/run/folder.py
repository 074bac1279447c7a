"""The folder of a run: `config.json`, a lock while the run goes on, and room for a new one.

A run's settings belong to its checkpoint. So one that is resumed with others is refused, but for
those that change nothing of what it has computed so far; and one that begins where another has been
does not write over it: the older folder gets a number.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygen._files import PART, locked, replacing
from tinygen.autograd import backend

__all__ = ["RunError"]

CONFIG = "config.json"
MARKS = (CONFIG, "checkpoint.npz", "log.csv")  # of these a run's folder has at least one
FREE = {"backend", "epochs", "out", "resume", "samples"}  # what any resumed run may change


class RunError(ValueError):
    """The folder is not one in which this run can begin, or go on."""


class Folder:
    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        resume: bool,
        free: Collection[str] = (),
    ) -> None:
        self.path, self.free = Path(path), FREE | set(free)
        self.settings = {name: plain(name, value) for name, value in settings.items()}
        try:
            if resume:
                self._config = read_config(self.path)
                self._compare(self._config["settings"])
            else:
                make_room(self.path)
            self._lock = _lock(self.path)
            for part in self.path.glob(f".*{PART}"):  # left by a run that was killed
                if re.fullmatch(rf"\..+\.\d+-\d+{re.escape(PART)}", part.name):
                    part.unlink(missing_ok=True)
            if not resume:
                self._config = {
                    "settings": self.settings,
                    "begun": _now(),
                    **_versions(),
                    "resumed": [],
                }
                write_json(self.path / CONFIG, self._config)
        except OSError as error:
            raise RunError(f"{self.path} can't be the folder of a run: {error}") from error

    def resumed(self, step: int) -> None:
        """Note in the settings' file that the run went on from `step`, and with what."""
        self._config["settings"] |= self.settings
        self._config["resumed"].append({"step": step, "at": _now(), **_versions()})
        write_json(self.path / CONFIG, self._config)

    def close(self) -> None:
        self._lock.close()

    def _compare(self, saved: Mapping[str, Any]) -> None:
        fixed = {name: value for name, value in self.settings.items() if name not in self.free}
        differ = [
            name for name, value in fixed.items() if repr(saved.get(name, value)) != repr(value)
        ]
        if differ:
            were = "\n  ".join(
                f"{name}: was {saved[name]!r}, now {self.settings[name]!r}" for name in differ
            )
            raise RunError(
                f"the run in {self.path} has other settings, and would not be the same "
                f"run with these; begin another, in another folder\n  {were}"
            )


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says of a run that is to be resumed."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config["settings"], dict) or not isinstance(config["resumed"], list):
            raise TypeError
    except FileNotFoundError:
        raise RunError(f"there is no run to resume in {folder}: it has no {CONFIG}") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(
            f"{path} is damaged, or not a run's: expected JSON with `settings` and `resumed`"
        ) from None
    return config


def make_room(folder: Path) -> None:
    """An empty place for a new run: an older one at this path is renamed, with a number."""
    folder = folder.resolve()
    if any((folder / name).exists() for name in MARKS):
        _lock(folder).close()  # not while it is going on
        number = 1
        while (older := folder.with_name(f"{folder.name}-{number}")).exists():
            number += 1
        folder.rename(older)
        print(f"The run that was in {folder} is in {older} now.", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)


def _lock(folder: Path) -> Any:
    lock = locked(folder / ".lock")
    if lock is None:
        raise RunError(
            f"another process is busy with the run in {folder}; wait for it, or "
            f"choose another folder"
        )
    return lock


def plain(name: str, value: Any) -> Any:
    """The setting as JSON has it; a number of NumPy's or a path is the same as number or text."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(name, each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain(name, each) for key, each in value.items()}
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(
        f"expected the setting `{name}` to be a number, text, or lists of such, got "
        f"{type(value).__name__}"
    )


def write_json(path: Path, content: Any) -> None:
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    version = sys.modules["tinygen"].__version__
    return {
        "tinygen": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "backend": backend.describe(),
    }
