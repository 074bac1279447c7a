"""A process for one workload of one library, which runs steps on request.

In one process the libraries would share a heap and a garbage collector, and the threads of one
would spin while the other is timed. `Worker` starts this file as a script and sends it requests.
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
    """`library` is "tinygen" or one of its peers, `workload` a function of its steps file."""

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
            raise RuntimeError(f"a worker process ended: {self.process.args}")
        return json.loads(line)

    def run(self, steps: int) -> list[float]:
        """The seconds of each step."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        return list(self._answer())

    def close(self) -> int | None:
        """End the process; its peak memory in bytes, None if unknown."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = self._answer()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()
        return peak


def resident(peak: bool = False) -> int | None:
    """This process's memory in bytes, now or at its peak; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            x for x in status.read_text().splitlines() if x.startswith("VmHWM" if peak else "VmRSS")
        )
        return int(line.split()[1]) * 1024
    # without /proc only the peak is known, which before the first step is the current size
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
    with contextlib.suppress(KeyboardInterrupt):  # the parent process reports it
        main()
