"""Ctrl-C that waits for a good moment: the end of the step that is under way."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and how a system asks a program to end


class Stopped(KeyboardInterrupt):
    """The program was asked to stop by `signal`, and has come to where it can."""

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(by.name)
        self.signal = by


class Deferred:
    """`with Deferred() as asked:` while it lasts, the first of these signals only sets `asked.by`.

    The second is Ctrl-C as always: somebody does not want to wait.
    """

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Deferred:
        if threading.current_thread() is threading.main_thread():  # only there are signals heard
            for each in SIGNALS:
                self._before[each] = signal.signal(each, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before.clear()

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.by is not None:
            raise KeyboardInterrupt
        self.by = signal.Signals(number)
