"""`log.csv`: a row for each step of a run, with its number, the epoch, the seconds and the values.

A run that stops between two checkpoints leaves rows of steps that will be made again, and perhaps
half a row: these go when it is resumed.
"""

from __future__ import annotations

import codecs
import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygen._batch import host
from tinygen._files import replacing
from tinygen._types import ArrayLike
from tinygen.optim import NotFinite

__all__ = ["Record"]

FIRST = ["step", "epoch", "seconds"]


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
        first = (record.step, f"{record.epoch:.6g}", f"{record.seconds:.3f}")
        if record:
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
