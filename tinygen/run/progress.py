"""How far a run is, on standard error: a bar at a terminal, and plain lines everywhere else.

A file or another program that reads the output wants whole lines, and not many of them: one each
ten seconds, and one at the end.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

from tqdm import tqdm

from tinygen.data import Batches

APART = 10.0  # seconds between two lines
BAR = "{desc} {bar:10} {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
ENDLESS = "{desc} step {n_fmt} [{elapsed}]{postfix}"


class Progress:
    """From `step` on; how far that is, in epochs and images, is read off the batches if any."""

    def __init__(self, step: int, batches: Batches | None) -> None:
        self._batches, self._step, self._first = batches, step, step
        self._total = batches.steps if batches else None  # if each step takes one batch
        self._epoch = self._first_epoch = batches.epoch if batches else 0.0
        self._shown: int | None = None
        self._began = self._told = time.monotonic()
        self._bar: Any = None
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar = tqdm(
                total=self._total,
                initial=step,
                ncols=80,
                nrows=24,
                bar_format=BAR if self._total else ENDLESS,
            )

    def update(self, record: Any) -> None:
        """After the step of that record; shown only if the last time was long enough ago."""
        self._step, self._epoch = record.step, record.epoch
        now = time.monotonic()
        first = self._step == self._first + 1
        if first or now - self._told > (0.1 if self._bar is not None else APART):
            self._told = now
            self._show(record)
        self._last = record

    def close(self) -> None:
        """Show the last step, and no more."""
        if self._step > self._first and self._shown != self._step:
            self._show(self._last)
        if self._bar is not None:
            self._bar.close()

    def _show(self, record: Any) -> None:
        self._shown = self._step
        seconds = max(time.monotonic() - self._began, 1e-9)
        steps = self._step - self._first
        values = [f"{name} {record[name]:.4g}" for name in record]
        rate, epoch = f"{steps / seconds:,.1f} steps/s", ""
        if self._batches is not None:
            images = (self._epoch - self._first_epoch) * self._batches.rows
            rate = f"{images / seconds:,.0f} images/s"
            of = "" if self._batches.epochs is None else f"/{self._batches.epochs}"
            epoch = f"epoch {self._epoch:.1f}{of}"
        total = self._total
        if self._batches is not None and total:
            taken = (self._epoch - self._first_epoch) * self._batches.per_epoch
            total //= max(1, round(taken / steps))
        if self._bar is not None:
            self._bar.n, self._bar.ncols = self._step, shutil.get_terminal_size().columns
            self._bar.total = total
            self._bar.set_description_str(epoch, refresh=False)
            self._bar.set_postfix_str(", ".join([rate, *values]))  # what is too long is cut off
            return
        of = f"/{total}" if total else ""
        if total and self._step < total:
            rate += f", {clock(seconds / steps * (total - self._step))} left"
        where = f"{epoch}, step {self._step}{of}" if epoch else f"step {self._step}{of}"
        print(f"{where}: {', '.join([*values, rate])}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
