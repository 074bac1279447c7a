"""How fast tinygen is, beside PyTorch where that is installed, at the same work on this machine.

Each workload is run by both in turn, A B A B, on the same shapes, dtype and number of threads:
operations in one process, whole training steps in a process for each side, that waits while the
other runs. What is printed are medians and their ratio, tinygen ÷ PyTorch: below 1, tinygen is the
faster. The floor is the time that the multiplications of the matrix products alone take, at the
speed that one large product reaches. Memory is the most that a side's process had, and in brackets
how much of that came on top of what was there before the first step.

    python examples/benchmark.py                 all of it, some minutes
    python examples/benchmark.py --only conv     one group
    python examples/benchmark.py --json          the same for machines, on standard output

Two things would make the comparison unfair, and are taken care of: PyTorch's threads go on spinning
for a moment after they have finished, so each turn begins with a pause and a run that is not
counted; and OPENBLAS_CORETYPE, which may hold NumPy's matrix product to an older processor's
instructions while PyTorch uses all that there are, is ignored.

Reading order: `compare`, the measurement; the workloads (whole training steps stand in the folder
workloads, once in tinygen and once in PyTorch); below them, only printing.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # read when NumPy is imported

import numpy as np
from matplotlib.figure import Figure
from workloads.worker import Worker

import tinygen as tg
from tinygen import optim
from tinygen.autograd import backend, parallel

try:
    import torch
except ImportError:
    torch = None

ROUNDS, RUNS = 5, 5  # turns of each side, and counted runs in each turn
PAUSE = 0.05  # seconds before a turn
TURN = 0.5  # seconds that the counted steps of a turn take, or one step if that takes longer
BATCH = 128
BATCHES = [16, 32, 64, 128, 256, 512]
CHAIN = 1000  # operations in a chain that is timed

# N, H = W, C, K = L, O, stride, padding
CONVOLUTIONS = [
    (64, 14, 64, 5, 128, 2, 2),
    (64, 7, 128, 5, 256, 2, 2),
    (64, 28, 64, 3, 64, 1, 1),
    (64, 14, 128, 3, 128, 1, 1),
    (128, 28, 32, 3, 32, 1, 1),
    (64, 32, 128, 4, 128, 2, 1),
]

Row = dict[str, Any]


def compare(
    ours: Callable[[], Any], theirs: Callable[[], Any] | None, runs: int = RUNS
) -> tuple[float, float]:
    """The median seconds of both, by turns; NaN for theirs if there is none."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, kept in zip((ours, theirs), times, strict=True):
            if run is None:
                continue
            time.sleep(PAUSE)
            run()
            finish()
            for _ in range(min(runs, RUNS)):
                began = time.perf_counter()
                run()
                finish()
                kept.append(time.perf_counter() - began)
    return tuple(float(np.median(t)) if t else float("nan") for t in times)  # type: ignore[return-value]


def finish() -> None:
    """Wait for the GPU, if there is one, to have done what it was asked."""
    if backend.name == "cupy":
        tg.xp.cuda.Device().synchronize()
        if torch is not None and torch.cuda.is_available():
            torch.cuda.synchronize()


@functools.cache
def gemm_speed() -> float:
    """Multiply-adds per second of one large float32 matrix product."""
    a, b = (tg.xp.ones((2048, 2048), "f4") for _ in range(2))
    return 2048**3 / compare(lambda: parallel.product(a, b), None)[0]


# --- the workloads: each yields rows of a name, seconds, and PyTorch's seconds --------------------


def overhead(_: np.random.Generator) -> Iterator[Row]:
    """What one operation costs beside its arithmetic: chains of products of 4 numbers."""
    x = tg.Tensor(np.ones(4, "f4"), requires_grad=True)
    t = None if torch is None else on_device(np.ones(4, "f4"))

    def chain(x: Any) -> Any:
        y = x
        for _ in range(CHAIN):
            y = y * x
        return y

    forward = compare(lambda: chain(x), None if t is None else lambda: chain(t))
    y, s = chain(x).sum(), None if t is None else chain(t).sum()
    backward = compare(
        lambda: tg.grad(y, x),
        None if t is None else lambda: torch.autograd.grad(s, t, retain_graph=True),
    )
    for name, times in (("forward", forward), ("backward", backward)):
        yield row("overhead", f"{name}, one operation", *(s / CHAIN for s in times))


def conv(rng: np.random.Generator) -> Iterator[Row]:
    """A convolution and both its gradients, float32."""
    speed = gemm_speed()
    for N, H, C, K, O, s, p in CONVOLUTIONS:
        x = rng.normal(size=(N, H, H, C)).astype("f4")
        w = rng.normal(size=(K, K, C, O)).astype("f4")
        tx, tw = tg.Tensor(x, requires_grad=True), tg.Tensor(w, requires_grad=True)
        g = tg.Tensor(rng.normal(size=tg.conv2d(tx, tw, s, p).shape).astype("f4"))

        def ours(tx: Any = tx, tw: Any = tw, g: Any = g, s: int = s, p: int = p) -> Any:
            return tg.grad(tg.conv2d(tx, tw, s, p), [tx, tw], cotangent=g)

        theirs = None
        if torch is not None:
            px, pw = on_device(x.transpose(0, 3, 1, 2)), on_device(w.transpose(3, 2, 0, 1))
            pg = on_device(g.numpy().transpose(0, 3, 1, 2)).detach()

            def theirs(px: Any = px, pw: Any = pw, pg: Any = pg, s: int = s, p: int = p) -> Any:
                return torch.autograd.grad(torch.conv2d(px, pw, stride=s, padding=p), [px, pw], pg)

        floor = 3 * g.size * K * K * C / speed
        name = f"{N}×{H}×{H}×{C}, {K}×{K}→{O}, stride {s}"
        yield row("conv", name, *compare(ours, theirs), floor=floor)


def adam(rng: np.random.Generator) -> Iterator[Row]:
    """One update of a million parameters; and of PyTorch's, both as it comes and fused."""
    p = tg.Tensor(rng.normal(size=1_000_000).astype("f4"), requires_grad=True)
    g = tg.Tensor(rng.normal(size=1_000_000).astype("f4"))
    ours = optim.Adam([p])
    for fused in (False, True):
        theirs = None
        if torch is not None:
            parameter = on_device(p.numpy())
            parameter.grad = on_device(g.numpy()).detach()
            theirs = torch.optim.Adam([parameter], fused=fused).step
        name = "Adam, 1,000,000 parameters" + (" (PyTorch fused)" if fused else "")
        yield row("adam", name, *compare(lambda: ours.step([g]), theirs))


def step(workload: str, name: str) -> Callable[[np.random.Generator], Iterator[Row]]:
    """A group with one row: a step of what the folder workloads has under this name."""

    def group(rng: np.random.Generator) -> Iterator[Row]:
        batch = min(BATCH, 64) if workload == "sampling" else BATCH
        yield step_row(rng, workload, f"{name}, batch {batch}", batch)

    return group


def step_row(rng: np.random.Generator, workload: str, name: str, batch: int) -> Row:
    seed = int(rng.integers(2**31))
    libraries = ["tinygen"] if torch is None else ["tinygen", "pytorch"]
    workers = {library: Worker(library, workload, batch, seed) for library in libraries}
    sizes = {worker.setup[0] for worker in workers.values()}
    assert len(sizes) == 1, f"{workload}: networks of {sizes} parameters are not the same"
    times: dict[str, list[float]] = {library: [] for library in libraries}
    for _ in range(ROUNDS):
        for library, worker in workers.items():
            time.sleep(PAUSE)
            worker.run(1)  # what is in cache is the other's
            times[library] += worker.run(max(1, int(TURN / worker.run(1)[0])))
    medians = {library: float(np.median(found)) for library, found in times.items()}
    floor = workers["tinygen"].setup[1] / gemm_speed()
    found = row(workload, name, medians["tinygen"], medians.get("pytorch", float("nan")), floor)
    found["batch"] = batch
    for library, worker in workers.items():
        found[f"{library}_bytes"] = {"before": worker.setup[2], "peak": worker.close()}
    return found


def growth(rng: np.random.Generator) -> Iterator[Row]:
    """The DCGAN's step from small batches to large."""
    for batch in BATCHES:
        yield step_row(rng, "dcgan", f"DCGAN step, batch {batch}", batch) | {"group": "growth"}


WORKLOADS = {
    "overhead": overhead,
    "conv": conv,
    "adam": adam,
    "vae": step("dense_vae", "dense VAE 784-400-20, training step"),
    "dcgan": step("dcgan", "DCGAN 28×28, training step"),
    "unet": step("unet", "U-Net 28×28, 597,345 parameters, training step"),
    "sampling": step("sampling", "samples, in 50 evaluations of the U-Net"),
    "growth": growth,
}


def row(group: str, name: str, ours: float, theirs: float, floor: float | None = None) -> Row:
    found: Row = {"group": group, "name": name, "tinygen_s": ours, "floor_s": floor}
    if np.isfinite(theirs):
        found |= {"pytorch_s": theirs, "ratio": ours / theirs}
    return found


def on_device(array: np.ndarray) -> Any:
    """The array as a PyTorch tensor that requires gradients, where tinygen's arrays are."""
    where = "cuda" if backend.name == "cupy" and torch.cuda.is_available() else "cpu"
    return torch.tensor(np.ascontiguousarray(array), device=where, requires_grad=True)


# --- printing ------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), cpu)
    peer = "not installed" if torch is None else f"{torch.__version__}, eager"
    return {"processor": cpu, "tinygen": tg.describe(), "PyTorch": peer}


def seconds(s: float | None) -> str:
    return "" if s is None else f"{s * 1e6:.2f} µs" if s < 1e-3 else f"{s * 1e3:.1f} ms"


def megabytes(r: Row, library: str) -> str:
    found = r.get(f"{library}_bytes")
    if not found or found["peak"] is None:
        return ""
    return f"{found['peak'] / 1e6:.0f} ({(found['peak'] - found['before']) / 1e6:.0f})"


def table(rows: list[Row]) -> Iterator[str]:
    with_memory = any(r.get("tinygen_bytes") for r in rows)
    yield (
        "| workload | tinygen | PyTorch | ratio | floor |"
        + (" MB tinygen | MB PyTorch |" if with_memory else "")
    )
    yield "|---|---|---|---|---|" + ("---|---|" if with_memory else "")
    for r in rows:
        ratio = f"{r['ratio']:.2f}" if "ratio" in r else ""
        yield (
            f"| {r['name']} | {seconds(r['tinygen_s'])} | {seconds(r.get('pytorch_s'))} "
            f"| {ratio} | {seconds(r['floor_s'])} |"
            + (f" {megabytes(r, 'tinygen')} | {megabytes(r, 'pytorch')} |" if with_memory else "")
        )
    ratios = [r["ratio"] for r in rows if r["group"] == "conv" and "ratio" in r]
    if ratios:
        yield (
            f"| conv, geometric mean | | | {np.exp(np.mean(np.log(ratios))):.2f} | |"
            + (" | |" if with_memory else "")
        )


STYLES = {"tinygen": ("#0072b2", "o"), "pytorch": ("#e69f00", "s"), "floor": ("#8a8a8a", "|")}


def draw(rows: list[Row]) -> Figure:
    """Milliseconds of everything that has a floor; and how the DCGAN's grow with the batch."""
    steps = [r for r in rows if r["floor_s"] and r["group"] != "growth"][::-1]
    grown = [r for r in rows if r["group"] == "growth"]
    panels = [p for p in (steps, grown) if p]
    figure = Figure(
        figsize=(6.5 * len(panels) + 1.5, max(4, 0.5 * len(steps))), layout="constrained"
    )
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        for side, (colour, marker) in STYLES.items():
            points = [
                (r["batch"] if panel is grown else i, 1e3 * r[f"{side}_s"])
                for i, r in enumerate(panel)
                if r.get(f"{side}_s")
            ]
            if not points:
                continue
            xs, ys = zip(*points, strict=True)
            label = {"pytorch": "PyTorch"}.get(side, side)
            if panel is grown:
                ax.plot(xs, ys, c=colour, marker=marker, label=label)
            else:
                ax.scatter(ys, xs, c=colour, marker=marker, s=60, label=label, zorder=2)
        if panel is grown:
            ax.set(
                xscale="log",
                yscale="log",
                xlabel="batch",
                ylabel="milliseconds",
                title="a DCGAN training step",
            )
            ax.set_xticks([r["batch"] for r in grown], [r["batch"] for r in grown])
        else:
            ax.set_yticks(range(len(panel)), [r["name"] for r in panel], size=8)
            ax.set(xscale="log", xlabel="milliseconds")
        ax.minorticks_off() if panel is grown else None
        ax.grid(
            axis="both" if panel is grown else "x", which="both", color="#e6e6e6", linewidth=0.6
        )
        ax.spines[:].set_visible(False)
        ax.legend(frameon=False)
    return figure


def main() -> None:
    global ROUNDS, RUNS, TURN, BATCH, BATCHES
    parser = argparse.ArgumentParser(description="Time tinygen beside PyTorch.")
    parser.add_argument("--quick", action="store_true", help="one run of each, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--backend", help='"numpy" or "cupy"')
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--seed", type=int, default=0, help="for the entries of the arrays")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    args = parser.parse_args()
    tg.keep_memory()  # as the examples' command line does
    if args.backend:
        os.environ["TINYGEN_BACKEND"] = args.backend  # for pytorch_steps
        tg.use(args.backend)
    if args.quick:
        ROUNDS = RUNS = 1
        TURN, BATCH, BATCHES = 0, 8, [8, 16]
    if torch is not None:
        torch.set_num_threads(backend.threads)

    rows = []
    for group in args.only:
        for found in WORKLOADS[group](np.random.default_rng(args.seed)):
            rows.append(found)
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)

    report = {"machine": machine(), "rows": rows}
    if args.json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        print(*(f"{k}: {v}" for k, v in report["machine"].items()), "", *table(rows), sep="\n")
    if any(r["floor_s"] for r in rows):
        args.out.mkdir(parents=True, exist_ok=True)
        part, path = args.out / "benchmark.part.png", args.out / "benchmark.png"
        draw(rows).savefig(part, dpi=150)
        os.replace(part, path)
        print(f"\nDrawn: {path}", file=sys.stderr if args.json else sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
