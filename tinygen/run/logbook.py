"""`log.csv`: a row for each step of a run, with its number, the epoch, the seconds and the values.

Rows are appended as the run goes. One that stops between two checkpoints has rows of steps that
will be made again, and perhaps half a row at the end: these go when it is resumed.
"""

from __future__ import annotations

import codecs
import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygen._batch import host
from tinygen._files import replacing
from tinygen.optim import NotFinite

__all__ = ["Record"]

FIRST = ["step", "epoch", "seconds"]


class Record(dict[str, Any]):
    """A step and its numbers: `record["loss"]`, `record.step`, `record.epoch`."""

    def __init__(self, step: int, epoch: float, seconds: float) -> None:
        self.step, self.epoch, self.seconds = step, epoch, seconds

    def add(self, values: Mapping[str, Any]) -> None:
        """Each value in its own dtype, for the log to have its digits and no more."""
        for name, value in values.items():
            array = np.asarray(host(value))
            if array.size != 1 or name in FIRST:
                raise ValueError(
                    f"log: expected a number, not one of {FIRST}, got {name}={value!r}"
                )
            self[name] = array.flat[0] if array.dtype != bool else int(array.flat[0])
        if wrong := [name for name in values if not math.isfinite(self[name])]:
            raise NotFinite(f"`{wrong[0]}` was {self[wrong[0]]} at step {self.step}")


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

    def _begin(self, names: Sequence[str], rows: list[dict[str, str]]) -> None:
        """Write these rows, at once or not at all, and go on after them."""
        with replacing(self.path) as file:
            table = csv.DictWriter(codecs.getwriter("utf-8")(file), names, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        # the buffer is a line, so that others read whole rows at once
        self._file = open(self.path, "a", 1, encoding="utf-8", newline="")  # noqa: SIM115
        self._names, self._table = names, csv.DictWriter(self._file, names, lineterminator="\n")


def read(path: str | os.PathLike[str]) -> tuple[list[str], list[dict[str, str]]]:
    """The names of the columns, and the rows that are whole, as text."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    names, *rows = list(csv.reader(text.split("\n")[:-1])) or [[]]
    if names[:3] != FIRST:
        raise ValueError(f"{path} is not the log of a run: expected the columns {FIRST} first")
    whole = [row for row in rows if len(row) == len(names) and row[0].isdecimal()]
    return names, [dict(zip(names, row, strict=True)) for row in whole]
