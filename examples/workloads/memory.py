"""How much memory a step takes, in a process of its own: `python pytorch_steps.py unet 128`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None

STEPS = 4


def resident(peak: bool = False) -> int | None:
    """Bytes of this process that are in memory now, or were at most; None if nothing tells."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines()
                    if x.startswith("VmHWM" if peak else "VmRSS"))  # fmt: skip
        return int(line.split()[1]) * 1024
    # without /proc only the peak is known: before the first step, that is what there was
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def report(workloads: dict[str, Callable[..., Any]], rng: Any) -> None:
    """Run the workload that the command line names; print what was there before, and the peak."""
    step, *_ = workloads[sys.argv[1]](int(sys.argv[2]), rng)
    before = resident()
    for _ in range(STEPS):
        step()
    print(json.dumps({"before": before, "peak": resident(peak=True)}))


def measure(library: str, workload: str, batch: int) -> dict[str, int]:
    """What `report` prints in a fresh process; library is "tinygen" or "pytorch"."""
    script = Path(__file__).parent / f"{library}_steps.py"
    done = subprocess.run(
        [sys.executable, script, workload, str(batch)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))
