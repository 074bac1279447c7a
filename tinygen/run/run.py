"""A run is a folder: its settings, a log, pictures, and a checkpoint from which to go on.

    with Run("runs/vae", {"lr": 1e-3, "epochs": 10}, resume=False) as run:
        run.keep(model=model, optimizer=optimizer, batches=batches, rng=rng)
        for x in run.track(batches):
            loss = ...
            optimizer.step(grad(loss, optimizer.params))
            run.log(loss=loss)

`track` passes the batches on and does what every run needs on the way: it shows progress, writes
`log.csv`, saves a checkpoint each minute, stops at a loss that is not finite, and at Ctrl-C
finishes the step, saves, says how to resume, and ends. It also takes a loop that is written
elsewhere, a generator that yields its losses step by step: `for record in run.track(train(...))`.
The folder then holds

    config.json       every setting, versions, backend and device, and when it was begun and resumed
    log.csv           a row for each step: step, epoch, seconds, and what the loop yields
    checkpoint.npz    the state of all parts that `keep` was given, at the end of a step

A run that is resumed makes, on the same machine, bit for bit the steps of one never stopped.

Reading order: `Record`, `Run`; then `EarlyStopping`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tinygen._batch import host
from tinygen._checks import whole
from tinygen._files import save_arrays
from tinygen.autograd import backend
from tinygen.data import Batches
from tinygen.nn import Module
from tinygen.optim import NotFinite
from tinygen.run import checkpoint
from tinygen.run.folder import CONFIG, Folder, plain, read_config, write_json
from tinygen.run.interrupts import Deferred, Stopped
from tinygen.run.logbook import FIRST, Logbook
from tinygen.run.progress import Progress

__all__ = ["EarlyStopping", "Record", "Run"]

CHECKPOINT = "checkpoint.npz"
WAIT = 0.2  # seconds between two looks at a GPU's losses, each of which waits for all its work


class Record(Mapping[str, float]):
    """A step and its numbers: `record["loss"]`, `record.step`, `record.epoch`."""

    def __init__(self, step: int, epoch: float, seconds: float, values: Any) -> None:
        self.step, self.epoch, self.seconds = step, epoch, seconds
        self.own = dict(values) if isinstance(values, Mapping) else {"loss": values}
        check_names(self.own)
        self.added: dict[str, Any] = {}  # by `Run.log`

    def __getitem__(self, name: str) -> float:
        # float32 stays float32 in the record, for the log to have its digits and no more
        self.own[name] = value = number(name, self.own[name])
        return float(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)

    def __repr__(self) -> str:
        values = "".join(f", {name}={self[name]:.6g}" for name in self)
        return f"Record(step={self.step}, epoch={self.epoch:.4g}{values})"

    def row(self) -> dict[str, Any]:
        """All numbers as they are written into the log."""
        return {name: number(name, value) for name, value in {**self.own, **self.added}.items()}


def check_names(values: Mapping[str, Any]) -> None:
    for name in values:
        if name in FIRST:
            raise ValueError(
                f"track: `{name}` is a column of its own in the log; expected another name"
            )


def number(name: str, value: Any) -> Any:
    """The value as the NumPy or Python number that it is; true is 1."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, float, np.number)):
        return value
    array = np.asarray(host(value))
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"track: expected numbers, but `{name}` is {array.dtype} of shape {array.shape}"
        )
    return array.reshape(())[()]


class Run:
    """A folder, begun or resumed; `settings` are what the run is made from, as numbers and text.

    An older run in the folder is renamed when a new one begins. A checkpoint is saved each so many
    `minutes`, each so many `steps` too if that is given, and at the end. A run that is resumed has
    the settings it began with; how long it is may differ, and what else is named `free`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any] | None = None,
        *,
        resume: bool = False,
        minutes: float = 1.0,
        steps: int | None = None,
        free: Collection[str] = (),
    ) -> None:
        if not minutes > 0 or (steps is not None and not steps >= 1):
            raise ValueError(
                f"Run: expected `minutes` > 0 and `steps` ≥ 1 or None, got "
                f"{minutes!r} and {steps!r}"
            )
        self._folder = Folder(folder, settings or {}, resume, free)
        self.folder, self.settings, self.resume = self._folder.path, self._folder.settings, resume
        self.step, self.seconds = 0, 0.0
        self._minutes, self._steps = minutes, steps
        self._parts: dict[str, Any] | None = None
        self._saved: int | None = None  # the step of the checkpoint
        self._saved_at = self._looked_at = time.monotonic()
        self._pending: list[Record] = []  # not yet in the log
        self._looked = 0  # the first so many of them are finite
        self._log: Logbook | None = None
        self._bar: Progress | None = None
        self._in_body = False  # whether the loop's body makes the steps
        self._asked = Deferred()

    def path(self, name: str) -> Path:
        """The path of a file in the run's folder."""
        return self.folder / name

    def keep(self, **parts: Any) -> None:
        """What a checkpoint holds: models, optimisers, batches, generators, by name.

        If the run is resumed, each part is now put in the state it was saved in. So what is drawn
        once, a model's first weights say, is drawn before this.
        """
        checkpoint.check(parts)
        path = self.path(CHECKPOINT)
        if self.resume and path.exists():
            about = checkpoint.load(path, parts)
            self.step, self.seconds = int(about["step"]), float(about["seconds"])
            self._saved = self.step
            self._folder.resumed(self.step)
            say(f"Going on from step {self.step}, which is in {path}.")
        elif self.resume:
            say(f"There is no checkpoint in {self.folder} yet: beginning at the first step.")
        self._parts, self._log = parts, Logbook(self.path("log.csv"), self.step)
        self._saved_at = time.monotonic()

    def track(self, loop: Iterable[Any]) -> Iterator[Any]:
        """Yield each batch of `Batches`, for a step that is written in the loop's body.

        `run.step` counts the steps from 1, and the body names its numbers by `run.log`. Any other
        loop makes its steps itself and yields numbers by name, Tensors or others, or one alone,
        which is called `loss`: `track` yields each as a `Record`.

        The body ends before the next step and before a checkpoint, so it may draw from the
        generators that are kept. The loop ends with `loop`, or when a part that is kept has
        `stopped`, as `EarlyStopping` has when its patience is at an end.
        """
        if self._parts is None:
            raise RuntimeError("track: call keep() before, with all that a checkpoint should hold")
        batches = next((p for p in self._parts.values() if isinstance(p, Batches)), None)
        self._in_body = isinstance(loop, Batches)
        self._bar = Progress(self.step, batches)
        began = time.monotonic() - self.seconds
        try:
            with self._asked as asked:
                for item in self._steps_of(loop):
                    self.step, self.seconds = self.step + 1, time.monotonic() - began
                    epoch = batches.epoch if batches else math.nan
                    values = {} if self._in_body else item
                    self._pending.append(Record(self.step, epoch, self.seconds, values))
                    if self._in_body:
                        yield item
                        self._look_if_due()
                    else:
                        self._look_if_due()
                        yield self._pending[-1]
                    self._write_rows()
                    if asked.by or self._is_due():
                        self.save()
                    if asked.by:
                        raise Stopped(asked.by)
                self.save()
                if asked.by:
                    raise Stopped(asked.by)
        finally:  # also if the caller leaves by `break`
            self._bar.close()
            self._write_rows()
            if self._log is not None:
                self._log.flush()

    def _steps_of(self, loop: Iterable[Any]) -> Iterator[Any]:
        """What the loop yields, as long as nothing has `stopped`."""
        parts = (self._parts or {}).values()
        steps = iter(loop)
        while not any(getattr(part, "stopped", False) for part in parts):
            try:
                values = next(steps)
            except StopIteration:
                return
            except NotFinite as error:
                raise NotFinite(f"step {self.step + 1}: {error}") from error
            yield values

    def log(self, **values: Any) -> None:
        """Numbers of the step in the loop over `track`: its losses, a held-out loss."""
        if not self._pending:
            raise RuntimeError("log: there is no step to add to; call it in the loop over track()")
        check_names(values)
        record = self._pending[-1]
        (record.own if self._in_body else record.added).update(values)

    def results(self, **values: Any) -> None:
        """Numbers that the whole run led to, into `results.json`, beside those it has already."""
        path = self.path("results.json")
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_json(path, before | {k: plain(k, v) for k, v in values.items()})

    def second_stage(self, name: str) -> Run:
        """The run of a stage that builds on what this one learned, in a folder of its own in this

        It resumes if this run does, unless this run has made steps since: then it begins anew.
        """
        folder, resume = self.path(name), False
        if self.resume and (folder / CONFIG).exists():
            resume = read_config(folder)["settings"].get("after") == self.step
        settings = self.settings | {"out": folder, "after": self.step}
        return Run(folder, settings, resume=resume, free=self._folder.free)

    def samples(self, images: Any, labels: Any = None) -> Path:
        """Write `samples.npz`: `images` (N, H, W, C) in [0, 1], and `labels` if there are any."""
        arrays = {"images": np.asarray(host(images), np.float32)}
        x = arrays["images"]
        within = x.size and x.min() >= 0 and x.max() <= 1
        if x.ndim != 4 or x.shape[3] not in (1, 3) or not within:
            extent = f", from {x.min():.3g} to {x.max():.3g}" if x.size else ""
            raise ValueError(
                f"samples: expected `images` (N, H, W, C) in [0, 1], with 1 or 3 "
                f"channels, got shape {x.shape}{extent}"
            )
        if labels is not None:
            arrays["labels"] = np.asarray(host(labels))
            if arrays["labels"].shape != (len(x),):
                raise ValueError(
                    f"samples: {len(x)} images have labels of shape {arrays['labels'].shape}"
                )
        save_arrays(self.path("samples.npz"), compress=True, **arrays)
        return self.path("samples.npz")

    def save(self, name: str = CHECKPOINT) -> None:
        """Write a checkpoint. `track` does; under another name it is one more, of the best, say."""
        if self._parts is None:
            raise RuntimeError("save: call keep() before, with all that a checkpoint should hold")
        self._look()
        for part, each in self._parts.items():
            if isinstance(each, Module):
                for called, array in each.state_dict().items():
                    if array.dtype.kind == "f" and not np.isfinite(array).all():
                        raise NotFinite(
                            f"step {self.step}: `{called}` of `{part}` is not finite; "
                            f"it was not saved"
                        )
        if name == CHECKPOINT and self._log is not None:
            self._write_rows()
            self._log.flush()
        checkpoint.save(self.path(name), self._parts, step=self.step, seconds=self.seconds)
        if name == CHECKPOINT:
            self._saved, self._saved_at = self.step, time.monotonic()

    # --- the end, whatever brings it ---

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        failed = None
        try:
            if error is None and self._parts is not None and self._saved != self.step:
                self.save()  # the loop was left by `break`
            if error is None and self._asked.by:
                error = Stopped(self._asked.by)
        except Exception as caught:
            failed = error = caught
        if error is not None and self._pending and not len(self._pending[-1]):
            self._pending.pop()  # a step that came to nothing
        self._looked = len(self._pending)  # what went wrong belongs in the log too
        with contextlib.suppress(Exception):
            self._write_rows()
        for each in (self._log, self._folder):
            if each is not None:
                each.close()
        saved = f"step {self._saved} is in {self.path(CHECKPOINT)}"
        if isinstance(error, KeyboardInterrupt):
            if self._saved is not None:
                say(f"Stopped; {saved}.{self._how_to_go_on()}")
            elif not (self.resume and self._parts is None):
                say(f"Stopped at step {self.step}, before there was a checkpoint.")
            by = error.signal if isinstance(error, Stopped) else signal.SIGINT
            raise SystemExit(128 + by) from None
        if isinstance(error, Exception) and self._parts is not None:
            say(
                "There was no checkpoint yet."
                if self._saved is None
                else f"The last good checkpoint: {saved}."
            )
        if failed is not None:
            raise failed

    # --- what happens on the way ---

    def _is_due(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        return minutes >= self._minutes or bool(self._steps and self.step % self._steps == 0)

    def _look_if_due(self) -> None:
        if not backend.queues_work() or time.monotonic() - self._looked_at > WAIT:
            self._look()

    def _look(self) -> None:
        """At the losses that have come since the last look: are they finite?"""
        for record in self._pending[self._looked :]:
            for name in record:
                if not math.isfinite(record[name]):
                    where = "" if math.isnan(record.epoch) else f", in epoch {record.epoch:.2f}"
                    raise NotFinite(f"`{name}` was {record[name]} at step {record.step}{where}")
        self._looked, self._looked_at = len(self._pending), time.monotonic()
        if self._bar is not None and self._pending:
            self._bar.update(self._pending[-1])

    def _write_rows(self) -> None:
        for record in self._pending[: self._looked]:
            assert self._log is not None
            self._log.write(record.step, record.epoch, record.seconds, record.row())
        self._pending, self._looked = self._pending[self._looked :], 0

    def _how_to_go_on(self) -> str:
        """The command that resumes this run, if a person typed the one that began it."""
        if "resume" not in self.settings or not sys.argv[0].endswith(".py"):
            return ""
        script, *arguments = sys.argv
        again = [script, *(a for a in arguments if a != "--resume"), "--resume"]
        return f"\nTo go on: python {shlex.join(again)}"


class EarlyStopping:
    """`stop(held_out_loss)` has `stopped` when in so many calls no number was the smallest so far

    Give it to `keep`: then `track` ends with that step, and so does a run that is resumed. What it
    returns is `stopped`. `improved` says whether the last number was the smallest, by more than
    `least`.
    """

    def __init__(self, patience: int, least: float = 0.0) -> None:
        whole("EarlyStopping", 1, patience=patience)
        self.patience, self.least = int(patience), float(least)
        self.best, self.waited, self.improved = math.inf, 0, False

    def __call__(self, value: Any) -> bool:
        value = float(number("value", value))
        self.improved = value < self.best - self.least
        self.best = value if self.improved else self.best
        self.waited = 0 if self.improved else self.waited + 1
        return self.stopped

    @property
    def stopped(self) -> bool:
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": np.array(self.best), "waited": np.array(self.waited)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.waited = float(state["best"]), int(state["waited"])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
