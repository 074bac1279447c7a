"""What a run tells of its steps: a row each in `log.csv`, and on standard error how far it is.

A run that stops between two checkpoints leaves rows of steps that will be made again, and perhaps
half a row: these go when it is resumed.
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
        """Each value in its own dtype, for the log to have its digits and no more."""
        for name, value in values.items():
            x = np.asarray(host(value))
            if x.size != 1 or name in FIRST:
                raise ValueError(f"log: expected a number, none of {FIRST}, got {name}={value!r}")
            self[name] = x.flat[0] if x.dtype != bool else int(x.flat[0])
        for name in values:
            if not math.isfinite(self[name]):
                raise NotFinite(f"`{name}` was {self[name]} at step {self.step}")


class Logbook:
    """The log at `path`, without what it says of steps after `step`."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, names, rows = path, FIRST, list[dict[str, str]]()
        if step and path.exists():
            try:
                names, rows = read(path)
            except (ValueError, csv.Error):  # it is the checkpoint that counts
                path.replace(path.with_name("log-damaged.csv"))
        self._begin(names, [row for row in rows if int(row["step"]) <= step])

    def write(self, record: Record) -> None:
        """A row more, if there are numbers; one that was never there before makes a column."""
        if new := [name for name in record if name not in self._names]:
            self.close()
            self._begin([*self._names, *new], read(self.path)[1])
        if record:
            first = (record.step, f"{record.epoch:.6g}", f"{record.seconds:.3f}")
            self._table.writerow({**dict(zip(FIRST, first, strict=True)), **record})

    def close(self) -> None:
        self._file.close()

    def _begin(self, names: list[str], rows: list[dict[str, str]]) -> None:
        """Write these rows, at once or not at all, and go on after them."""
        with replacing(self.path) as file:
            table = csv.DictWriter(codecs.getwriter("utf-8")(file), names, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        # the buffer is a line, so that others read whole rows at once
        self._file = open(self.path, "a", 1, encoding="utf-8", newline="")  # noqa: SIM115
        self._names, self._table = names, csv.DictWriter(self._file, names, lineterminator="\n")


def read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The names of the columns, and the rows that are whole, as text."""
    text = path.read_text(encoding="utf-8", errors="replace")
    names, *rows = list(csv.reader(text.split("\n")[:-1])) or [[]]
    if names[:3] != FIRST:
        raise ValueError(f"{path} is not the log of a run: expected the columns {FIRST} first")
    whole = [row for row in rows if len(row) == len(names) and row[0].isdecimal()]
    return names, [dict(zip(names, row, strict=True)) for row in whole]


class Progress:
    """A bar at a terminal, and elsewhere a line each ten seconds; it starts at `step`.

    Epochs and images are read off the batches, if there are any.
    """

    def __init__(self, step: int, batches: Batches | None) -> None:
        self._step, self._batches, self._began, self._next = step, batches, time.monotonic(), 0.0
        self._hidden: Record | None = None  # the last record, if it has not been shown
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(
            total=batches.epochs if batches else None,
            initial=batches.epoch if batches else 0,
            bar_format=BAR if batches else ENDLESS,
            file=sys.stderr if self._terminal else io.StringIO(),
            nrows=24,
        )

    def update(self, record: Record, last: bool = False) -> None:
        """After the step of that record; shown if it is the last, or long enough after another."""
        self._hidden = record
        if time.monotonic() < self._next and not last:
            return
        self._hidden, self._next = None, time.monotonic() + (0.1 if self._terminal else 10)
        done, unit = record.step - self._step, "steps"
        if self._batches is not None:
            done, unit = (record.epoch - self._bar.initial) * self._batches.rows, "images"
        rate = f"{done / (time.monotonic() - self._began):,.1f} {unit}/s"
        values = [f"{name} {value:.4g}" for name, value in record.items()]
        self._bar.n = record.epoch
        if self._terminal:
            self._bar.ncols = shutil.get_terminal_size().columns  # what is too long is cut off
        self._bar.set_postfix_str(", ".join([f"step {record.step}", rate, *values]))
        if not self._terminal:
            print(self._bar, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._hidden is not None:
            self.update(self._hidden, last=True)
        self._bar.close()
