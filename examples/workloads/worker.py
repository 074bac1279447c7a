"""A process of its own for one workload of one library, that runs steps when it is told to.

Two libraries in one process would share a heap, a garbage collector, and cores on which the one's
threads still spin while the other is timed. `Worker` is the end that tells; the end that runs is
this file as a script.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None


class Worker:
    """`library` is "tinygen" or "pytorch", `workload` the name of a function in its steps."""

    def __init__(self, library: str, workload: str, batch: int, seed: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, library, workload, str(batch), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.setup = self._answer()  # parameters, multiply_adds, bytes before the first step

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended: {self.process.args}")
        return json.loads(line)

    def run(self, steps: int) -> list[float]:
        """The seconds of each of so many steps."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return list(self._answer())

    def close(self) -> int | None:
        """End it; the most bytes that it had in memory, if they can be known."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = self._answer()
        self.process.wait()
        return peak


def resident(peak: bool = False) -> int | None:
    """Bytes of this process that are in memory now, or were at most; None if nothing tells."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            x for x in status.read_text().splitlines() if x.startswith("VmHWM" if peak else "VmRSS")
        )
        return int(line.split()[1]) * 1024
    # without /proc only the peak is known: before the first step, that is what there was
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    library, workload, batch, seed = sys.argv[1:]
    steps = importlib.import_module(f"{library}_steps")
    step, parameters, multiply_adds = getattr(steps, workload)(
        int(batch), np.random.default_rng(int(seed))
    )
    print(json.dumps([parameters, multiply_adds, resident()]), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            began = time.perf_counter()
            step()
            steps.finish()
            seconds.append(time.perf_counter() - began)
        print(json.dumps(seconds), flush=True)
    print(json.dumps(resident(peak=True)), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # the other end says so
        main()
