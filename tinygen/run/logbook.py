"""The log, with a row per step in `log.csv`, and a progress bar on standard error.

A run stopped between checkpoints leaves rows of steps that will be repeated, the last perhaps
incomplete. They are removed when the run resumes.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tinygen._batch import host
from tinygen._files import replacing
from tinygen._types import ArrayLike
from tinygen.data import Batches
from tinygen.data.fetch import in_notebook
from tinygen.optim import NotFinite

__all__ = ["Record"]

FIRST = ["step", "epoch", "seconds"]
BAR = "epoch {n:.1f}/{total_fmt} {bar:10} [{elapsed}<{remaining}]{postfix}"
ENDLESS = "[{elapsed}]{postfix}"


class Record(dict[str, Any]):
    """A step and its numbers: `record["loss"]`, `record.step`, `record.epoch`."""

    def __init__(self, step: int, epoch: float, seconds: float) -> None:
        self.step, self.epoch, self.seconds = step, epoch, seconds

    def add(self, values: Mapping[str, ArrayLike]) -> None:
        """Add values in their own dtypes, so that the log has only their significant digits."""
        for name, value in values.items():
            x = np.asarray(host(value))
            if x.size != 1 or name in FIRST:
                raise ValueError(f"log: expected a number not named {FIRST}, got {name}={value!r}")
            self[name] = x.flat[0] if x.dtype != bool else int(x.flat[0])
        for name in values:
            if not math.isfinite(self[name]):
                raise NotFinite(f"`{name}` was {self[name]} at step {self.step}")


class Logbook:
    """The log at `path`, without rows after `step`."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, names, rows = path, FIRST, list[dict[str, str]]()
        if step and path.exists():
            try:
                names, rows = read(path)
            except (ValueError, csv.Error):  # resume from the checkpoint alone
                path.replace(path.with_name("log-damaged.csv"))
        self._begin(names, [row for row in rows if int(row["step"]) <= step])

    def write(self, record: Record) -> None:
        """Add a row, if there are values, and columns for new names."""
        if new := [name for name in record if name not in self._names]:
            self.close()
            self._begin([*self._names, *new], read(self.path)[1])
        if record:
            first = (record.step, f"{record.epoch:.6g}", f"{record.seconds:.3f}")
            self._table.writerow({**dict(zip(FIRST, first, strict=True)), **record})

    def close(self) -> None:
        self._file.close()

    def _begin(self, names: list[str], rows: list[dict[str, str]]) -> None:
        """Write these rows atomically, and open the file to append more."""
        with replacing(self.path) as file:
            table = csv.DictWriter(codecs.getwriter("utf-8")(file), names, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        # line-buffered, so that readers see whole rows
        self._file = open(self.path, "a", 1, encoding="utf-8", newline="")  # noqa: SIM115
        self._names, self._table = names, csv.DictWriter(self._file, names, lineterminator="\n")


def read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The names of the columns, and the complete rows, as text."""
    text = path.read_text(encoding="utf-8", errors="replace")
    names, *rows = list(csv.reader(text.split("\n")[:-1])) or [[]]
    if names[:3] != FIRST:
        raise ValueError(f"{path} is not the log of a run: expected the columns {FIRST} first")
    whole = [row for row in rows if len(row) == len(names) and row[0].isdecimal()]
    return names, [dict(zip(names, row, strict=True)) for row in whole]


class Progress:
    """A progress bar in a terminal or a notebook, otherwise a line every ten seconds."""

    def __init__(self, step: int, batches: Batches | None) -> None:
        self._step, self._batches, self._began, self._next = step, batches, time.monotonic(), 0.0
        self._hidden: Record | None = None  # the last record, if it has not been shown
        self._terminal = in_notebook() or (sys.stderr is not None and sys.stderr.isatty())
        # a notebook's file may keep every update
        self._apart = 1.0 if in_notebook() else 0.1 if self._terminal else 10.0
        self._bar = tqdm(
            total=batches.epochs if batches else None,
            initial=batches.epoch if batches else 0,
            bar_format=BAR if batches else ENDLESS,
            file=sys.stderr if self._terminal else io.StringIO(),
            nrows=24,
        )

    def update(self, record: Record, last: bool = False) -> None:
        """Show this record, unless one was just shown and this is not the last."""
        self._hidden = record
        if time.monotonic() < self._next and not last:
            return
        self._hidden, self._next = None, time.monotonic() + self._apart
        done, unit = record.step - self._step, "steps"
        if self._batches is not None:
            done, unit = (record.epoch - self._bar.initial) * self._batches.rows, "images"
        rate = f"{done / (time.monotonic() - self._began):,.1f} {unit}/s"
        values = [f"{name} {value:.4g}" for name, value in record.items()]
        self._bar.n = record.epoch
        if self._terminal:
            self._bar.ncols = shutil.get_terminal_size((120, 24)).columns  # to cut off long lines
        self._bar.set_postfix_str(", ".join([f"step {record.step}", rate, *values]))
        if not self._terminal:
            print(self._bar, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._hidden is not None:
            self.update(self._hidden, last=True)
        self._bar.close()
