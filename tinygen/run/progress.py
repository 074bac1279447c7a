"""How far a run is, on standard error: a bar at a terminal, elsewhere a line each ten seconds."""

from __future__ import annotations

import io
import shutil
import sys
import time

from tqdm import tqdm

from tinygen.data import Batches
from tinygen.run.logbook import Record

BAR = "epoch {n:.1f}/{total_fmt} {bar:10} [{elapsed}<{remaining}]{postfix}"
ENDLESS = "[{elapsed}]{postfix}"


class Progress:
    """From `step` on; how far that is, in epochs and images, is read off the batches if any."""

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

    def update(self, record: Record) -> None:
        """After the step of that record; shown only if the last time was long enough ago."""
        self._hidden = record
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + (0.1 if self._terminal else 10)
            self._show(record)

    def close(self) -> None:
        if self._hidden is not None:
            self._show(self._hidden)
        self._bar.close()

    def _show(self, record: Record) -> None:
        done, unit = record.step - self._step, "steps"
        if self._batches is not None:
            done, unit = (record.epoch - self._bar.initial) * self._batches.rows, "images"
        rate = f"{done / (time.monotonic() - self._began):,.1f} {unit}/s"
        values = [f"{name} {value:.4g}" for name, value in record.items()]
        self._bar.n, self._hidden = record.epoch, None
        if self._terminal:
            self._bar.ncols = shutil.get_terminal_size().columns  # what is too long is cut off
        self._bar.set_postfix_str(", ".join([f"step {record.step}", rate, *values]))
        if not self._terminal:
            print(self._bar, file=sys.stderr, flush=True)
