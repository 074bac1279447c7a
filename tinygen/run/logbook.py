"""`log.csv`: a row for each step of a run, with its number, the epoch, the seconds and the values.

Rows are appended as the run goes. One that stops between two checkpoints has rows of steps that
will be made again, and perhaps half a row at the end: these go when it is resumed.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinygen._files import replacing
from tinygen._types import Array

FIRST = ["step", "epoch", "seconds"]
FLUSH = 1.0  # seconds that a row may wait before others can read it


class Logbook:
    def __init__(self, path: Path, step: int) -> None:
        """The log at `path`, without what it says of steps after `step`."""
        self.path, self._columns = path, list(FIRST)
        self._file: IO[str] | None = None
        self._flushed = time.monotonic()
        rows: list[dict[str, str]] = []
        if step and path.exists():
            try:
                self._columns, rows = read(path)
            except (ValueError, csv.Error):  # it is the checkpoint that counts
                path.replace(path.with_name("log-damaged.csv"))
        self._rewrite([row for row in rows if int(row["step"]) <= step])

    def write(self, step: int, epoch: float, seconds: float, values: Mapping[str, Any]) -> None:
        """A row more; a value that was never there before makes a column."""
        if new := [name for name in values if name not in self._columns]:
            self.flush()
            rows = read(self.path)[1]
            self._columns += new
            self._rewrite(rows)
        row = {
            "step": step,
            "epoch": "" if math.isnan(epoch) else f"{epoch:.6g}",
            "seconds": f"{seconds:.3f}",
            **values,
        }
        # str of a float has the digits that tell it from all others of its type, and no more
        texts = [str(row.get(name, "")) for name in self._columns]
        csv.writer(self._open(), lineterminator="\n").writerow(texts)
        if time.monotonic() - self._flushed > FLUSH:
            self.flush()

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[str]:
        if self._file is None:
            self._file = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115
        return self._file

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.close()
        text = io.StringIO()
        table = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())


def read(path: str | Path) -> tuple[list[str], list[dict[str, str]]]:
    """The names of the columns, and the rows that are whole, as text."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    if not lines or lines[0][: len(FIRST)] != FIRST:
        raise ValueError(
            f"{path} is not the log of a run: it should begin with the columns {', '.join(FIRST)}"
        )
    columns, *rows = lines
    return columns, [
        dict(zip(columns, row, strict=True))
        for row in rows
        if len(row) == len(columns) and row[0].isdecimal()
    ]


def columns(path: str | Path) -> dict[str, Array]:
    """The log as arrays by name, to be drawn or computed with; NaN where a row has no value."""
    names, rows = read(path)
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
