"""Times the training step of one batch on all cores: by one process, or by several through MPI.

    python examples/workloads/ranks.py

One process has a thread per core; each of n ranks has 1/n of the batch and of the threads, and
`Optimizer.step` averages their gradients. Each row is the median over rounds in which the numbers
of ranks take turns. It needs mpirun and the package mpi4py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import tinygen_steps

from tinygen import distributed

RANKS, ROUNDS, TURN = (1, 2, 4), 5, 3.0  # TURN: seconds of counted steps
WORKLOADS = {"dcgan": 128, "unet": 64}  # batch sizes


def rank(workload: str, batch: int) -> None:
    """Rank 0 prints the seconds of each step and of averaging in it, and the averaged bytes."""
    rng = np.random.default_rng(0)  # the same weights on all ranks
    step, parameters, _ = getattr(tinygen_steps, workload)(batch // distributed.size(), rng)
    average, times = distributed.average, list[list[float]]()

    def timed(arrays: Any) -> Any:
        distributed.largest(0)  # wait for the slowest rank, so that only the averaging is timed
        began = time.perf_counter()
        means = average(arrays)
        times[-1][1] += time.perf_counter() - began
        return means

    distributed.average = timed
    left = TURN
    while left > 0:
        times.append([0.0, 0.0])
        began = time.perf_counter()
        step()
        times[-1][0] = time.perf_counter() - began
        left = distributed.largest(left - times[-1][0] * (len(times) > 1))[0]
    if not distributed.rank():
        print(json.dumps([times[1:], 4 * parameters]))


def main() -> None:
    print("| step | ranks | milliseconds | of one process | averaging | MB |", flush=True)
    print("|---|---|---|---|---|---|")
    for workload, batch in WORKLOADS.items():
        times: dict[int, list[list[float]]] = {n: [] for n in RANKS}
        for _ in range(ROUNDS):
            for n in RANKS:
                start = [] if n == 1 else ["mpirun", "-n", str(n)]
                command = [*start, sys.executable, __file__, workload, str(batch)]
                out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
                seconds, size = json.loads(out)
                times[n] += seconds
        alone = np.median(times[1], axis=0)[0]
        for n in RANKS:
            step, averaging = np.median(times[n], axis=0)
            print(
                f"| {workload}, batch {batch} | {n} | {1e3 * step:.0f} | {step / alone:.2f} "
                f"| {1e3 * averaging:.1f} | {size / 1e6:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    rank(sys.argv[1], int(sys.argv[2])) if sys.argv[1:] else main()
