"""A run is a folder: settings, log, pictures, and a checkpoint to resume from bit for bit.

    with Run("runs/vae", {"lr": 1e-3, "epochs": 10}, resume=False) as run:
        run.keep(model=model, optimizer=optimizer, batches=batches, rng=rng)
        for x in run.track(batches):
            loss = ...
            optimizer.step(grad(loss, optimizer.params))
            run.log(loss=loss)

`config.json` has the settings, versions and times, `log.csv` a row per step, and `checkpoint.npz`
the state of all parts given to `keep`, at the end of a step.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np

from tinygen import distributed
from tinygen._batch import host
from tinygen._checks import whole
from tinygen._files import save_arrays
from tinygen._html import table
from tinygen._types import ArrayLike, PathLike
from tinygen.data import Batches
from tinygen.nn import Module
from tinygen.optim import NotFinite
from tinygen.run import checkpoint, folder
from tinygen.run.logbook import Logbook, Progress, Record, read

__all__ = ["EarlyStopping", "Run"]

CHECKPOINT = "checkpoint.npz"
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and a system's request to terminate
APART = 60.0  # seconds between checkpoints


class Run:
    """A new or resumed run in a folder; `settings` are its hyperparameters, saved as JSON.

    A new run renames an older one in the folder. A checkpoint is saved every minute, and every
    `steps` steps. A resumed run must have the same settings, except its length and those in `free`.
    If several processes train one model, rank 0 writes to the folder, the others to temporary ones.
    """

    def __init__(
        self,
        path: PathLike,
        settings: Mapping[str, Any] = {},
        *,
        resume: bool = False,
        steps: int | None = None,
        free: Collection[str] = (),
    ) -> None:
        # not ".", which would follow an older run when that is renamed
        self.folder = Path(path) if Path(path).name else Path.cwd()
        self.resume, self._free = resume, {*folder.FREE, *free}
        self.settings = json.loads(json.dumps(settings, default=folder.plain))
        if distributed.rank():
            place = os.environ.get("OMPI_FILE_LOCATION")  # mpirun deletes it, even after a crash
            self._temporary = tempfile.TemporaryDirectory(prefix="tinygen-", dir=place)
            self.folder, self.resume = Path(self._temporary.name), False
        self._lock = folder.enter(self.folder, self.settings, self.resume, self._free)
        self.step, self.seconds, self._steps = 0, 0.0, steps
        self._log: Logbook | None = None  # None before `keep`
        self._record: Record | None = None  # of the current step
        self._saved: int | None = None  # step of the last checkpoint
        self._asked: list[int] = []  # the signal to stop, if there was one
        self._agreed = False  # whether all ranks know of it

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, step {self.step:,})"

    def _repr_html_(self) -> str:
        log = self.path("log.csv")
        _, rows = read(log) if log.exists() else ([], [])
        return table(rows[-1].items() if rows else [], (self, ""))

    def path(self, name: str) -> Path:
        """The path of a file in the run's folder."""
        return self.folder / name

    def keep(self, **parts: Any) -> None:
        """Name the parts of a checkpoint: models, optimisers, batches, generators.

        On resuming, this restores them. Draw initial weights, or anything drawn once, before it.
        """
        self._kept, path = parts, self.path(CHECKPOINT)
        about: dict[str, Any] = {"step": self.step, "seconds": self.seconds}
        if self.resume and path.exists():  # not if the run was killed at once
            about = checkpoint.load(path, parts)
            self.step, self.seconds = about["step"], about["seconds"]
            folder.note(self.folder, self.settings, self.step)
            folder.say(f"Resuming from step {self.step}, saved in {path}.")
        if distributed.size() > 1:
            self._share(about)
        self._log = Logbook(self.path("log.csv"), self.step)
        self.save()

    def _share(self, about: dict[str, Any]) -> None:
        """Give all ranks the state and the log of rank 0."""
        log, ours = self.path("log.csv"), {k: v for k, v in self.settings.items() if k != "out"}
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        about = checkpoint.share(self._kept, {**about, "settings": ours, "log": text})
        if differ := [k for k in ours if ours[k] != about["settings"].get(k)]:
            raise folder.RunError(f"the ranks have different settings: {differ}")
        self.step, self.seconds = about["step"], about["seconds"]
        if distributed.rank():
            log.write_text(about["log"], encoding="utf-8")
        folder.say(
            f"Training on {distributed.size()} ranks, with a checkpoint every {APART:.0f} s."
        )

    def track(self, loop: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of `Batches`, for a body that makes the steps and calls `run.log`.

        Any other `loop` makes its own steps, and yields values by name, or the loss alone; `track`
        yields them as a `Record`. It stops when `loop` ends, when a kept part has `stopped`, as
        `EarlyStopping` does, and after Ctrl-C, when the step is done and saved. A value that is not
        finite is an error. The body may draw from kept generators.
        """
        if (log := self._log) is None:
            raise RuntimeError("track: call keep() first, with the parts of a checkpoint")
        parts = self._kept.values()
        batches = next((part for part in parts if isinstance(part, Batches)), None)
        in_body, steps = isinstance(loop, Batches), iter(loop)
        bar, began = Progress(self.step, batches), time.monotonic() - self.seconds
        with contextlib.closing(bar), deferred(self._asked):
            while not self._ends(parts):
                try:
                    item = next(steps)
                except StopIteration:
                    break
                except NotFinite as error:
                    raise NotFinite(f"step {self.step + 1}: {error}") from error
                self.step, self.seconds = self.step + 1, time.monotonic() - began
                epoch = batches.epoch if batches else math.nan
                self._record = record = Record(self.step, epoch, self.seconds)
                try:
                    if not in_body:
                        record.add(item if isinstance(item, Mapping) else {"loss": item})
                    yield item if in_body else record
                except GeneratorExit:  # a `break` in the body ends the loop on all ranks
                    if distributed.size() > 1:
                        self._leave(parts)
                    raise
                finally:  # also after an error or `break` in the body
                    self._record = None
                    log.write(record)
                bar.update(record)
                if distributed.size() > 1:
                    checkpoint.average_statistics(parts)
            self.save()
            if self._asked:
                raise KeyboardInterrupt

    def _leave(self, parts: Collection[Any]) -> None:
        """Take part in what the other ranks do at the end of a step and of the loop."""
        try:
            checkpoint.average_statistics(parts)
            self._ends(parts, True)
            self.save()
        except Exception as error:  # Python ignores errors of a generator that is closed
            distributed.fail(f"{type(error).__name__}: {error}")

    def _ends(self, parts: Collection[Any], stopped: bool = False) -> bool:
        """Save if it is time. Whether to make no more steps: all ranks get the same answer."""
        due = time.monotonic() - self._saved_at > APART
        due = due or bool(self._steps and self.step % self._steps == 0)
        stopped = stopped or any(getattr(part, "stopped", False) for part in parts)
        due = due and self._saved != self.step
        asked, end, save = distributed.largest(max(self._asked, default=0), stopped, due)
        if save:
            self.save()
        if asked:
            self._asked[:], self._agreed = [int(asked)], True
        return bool(asked or end)

    def log(self, **values: ArrayLike) -> None:
        """Log values of the current step, in a loop over `track`: losses, a held-out loss."""
        if self._record is None:
            raise RuntimeError("log: no current step; call it inside the loop over track()")
        self._record.add(values)

    def results(self, **values: Any) -> None:
        """Add results of the whole run to `results.json`."""
        path = self.path("results.json")
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        folder.write_json(path, before | values)

    def second_stage(self, name: str) -> Run:
        """The run of a second stage, trained after this one, in a folder inside this run's

        It resumes if this run does, unless this run has made steps since: then it starts again.
        """
        path, resume = self.path(name), False
        if self.resume and (path / folder.CONFIG).exists():
            resume = folder.read_config(path)["settings"].get("after") == self.step
        settings = self.settings | {"out": path, "after": self.step}
        return Run(path, settings, resume=resume, free=self._free)

    def samples(self, images: ArrayLike, labels: ArrayLike | None = None) -> Path:
        """Write `samples.npz`: `images` (N, H, W, C) in [0, 1], and `labels` if there are any."""
        x, path = np.asarray(host(images), np.float32), self.path("samples.npz")
        if x.ndim != 4 or x.shape[3] not in (1, 3) or not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"samples: expected (N, H, W, 1 or 3) in [0, 1], got {x.shape}")
        y = None if labels is None else np.asarray(host(labels))
        if y is not None and len(y) != len(x):
            raise ValueError(f"samples: expected {len(x)} labels, got {len(y)}")
        save_arrays(path, compress=True, images=x, **({} if y is None else {"labels": y}))
        return path

    def save(self, name: str = CHECKPOINT) -> None:
        """Write a checkpoint. `track` does this; use another name for an extra one, of the best."""
        for part, model in self._kept.items():
            for key, array in model.state_dict().items() if isinstance(model, Module) else ():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise NotFinite(f"step {self.step}: `{key}` of `{part}` is not finite")
        about: dict[str, Any] = {"step": self.step, "seconds": self.seconds}
        if name == CHECKPOINT:
            self._saved, self._saved_at = self.step, time.monotonic()
            if distributed.size() > 1:
                about["streams"] = checkpoint.streams(self._kept)
                if distributed.rank():
                    return
        checkpoint.save(self.path(name), self._kept, **about)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if self._log and error is None and self._saved != self.step:
            self.save()  # after a `break`
        self._lock.close()
        if self._log:
            self._log.close()
        step, path = self._saved, self.path(CHECKPOINT)
        state = "nothing was saved" if step is None else f"step {step} is saved in {path}"
        if isinstance(error, KeyboardInterrupt) or (error is None and self._asked):
            if distributed.size() > 1 and not self._agreed:  # the others would wait for this one
                distributed.fail(f"stopped by a signal; {state}")
            folder.say(f"Stopped; {state}.")
            if "resume" in self.settings:  # started from the command line
                again = [*(word for word in sys.argv if word != "--resume"), "--resume"]
                ranks = distributed.size()
                several = "" if ranks == 1 else f"mpirun -n {ranks} "
                folder.say(f"To resume: {several}python {shlex.join(again)}")
            raise SystemExit(128 + (self._asked or [signal.SIGINT])[0]) from None
        if isinstance(error, Exception) and self._log:
            folder.say(f"The run failed; {state}.")


class EarlyStopping:
    """`stop(held_out_loss)` is True after `patience` calls in a row without a new minimum

    Passed to `keep`, it ends `track`. `improved` is True if the last value was a new minimum.
    """

    def __init__(self, patience: int) -> None:
        whole("EarlyStopping", 1, patience=patience)
        self.patience = patience
        self.best, self.waited, self.improved = math.inf, 0, False

    def __call__(self, value: SupportsFloat) -> bool:
        self.waited, self.improved = self.waited + 1, float(value) < self.best
        if self.improved:
            self.best, self.waited = float(value), 0
        return self.stopped

    @property
    def stopped(self) -> bool:
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.waited = float(state["best"]), int(state["waited"])


@contextlib.contextmanager
def deferred(asked: list[int]) -> Iterator[None]:
    """Note the first signal to stop in `asked`; at the second, raise KeyboardInterrupt."""

    def handle(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    main = threading.current_thread() is threading.main_thread()  # only it can handle signals
    signals = [*SIGNALS, *([signal.SIGUSR1] if distributed.size() > 1 else [])]  # mpirun's
    before = {number: signal.signal(number, handle) for number in signals if main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
