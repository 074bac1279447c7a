"""Times tinygen against PyTorch, if it is installed, on the same work and machine.

The two libraries run each workload alternately, on the same shapes, dtype and number of threads.
Operations run in this process; whole training steps run in a process of each library, which waits
while the other works. The table has medians and their ratio, tinygen ÷ PyTorch: below 1, tinygen is
faster. The lower bound is the time of the matrix products' multiplications alone, at the speed of
one large product. Memory is each process's peak and, in brackets, its growth during the steps.

    python examples/benchmark.py                 everything, in a few minutes
    python examples/benchmark.py --only conv     one group
    python examples/benchmark.py --json          JSON on standard output

Two effects would bias the comparison. PyTorch's threads spin for a moment after they finish, so
each turn begins with a pause and an uncounted run. And OPENBLAS_CORETYPE is ignored, because it may
restrict NumPy's matrix product to an older processor's instructions.

Reading order: `compare`, the measurement; the workloads (the training steps are in the folder
workloads, in tinygen and in PyTorch); the printing.
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

ROUNDS, RUNS = 5, 5  # turns of each library, and counted runs in each turn
PAUSE = 0.05  # seconds before a turn
TURN = 0.5  # seconds of counted steps in a turn; at least one step
BATCH = 128
BATCHES = [16, 32, 64, 128, 256, 512]
CHAIN = 1000  # operations in a timed chain

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
    """The median seconds of both, run alternately; NaN if `theirs` is None."""
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
    """Wait until the GPU, if one is used, has finished."""
    if backend.name == "cupy":
        tg.xp.cuda.Device().synchronize()
        if torch is not None and torch.cuda.is_available():
            torch.cuda.synchronize()


@functools.cache
def gemm_speed() -> float:
    """Multiply-adds per second of one large float32 matrix product."""
    a, b = (tg.xp.ones((2048, 2048), "f4") for _ in range(2))
    return 2048**3 / compare(lambda: parallel.product(a, b), None)[0]


# --- the workloads: each yields rows of the table -------------------------------------------------


def overhead(_: np.random.Generator) -> Iterator[Row]:
    """The cost of one operation apart from its arithmetic: chains of products of 4 numbers."""
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

        lower_bound = 3 * g.size * K * K * C / speed
        name = f"{N}×{H}×{H}×{C}, {K}×{K}→{O}, stride {s}"
        yield row("conv", name, *compare(ours, theirs), lower_bound)


def adam(rng: np.random.Generator) -> Iterator[Row]:
    """One update of a million parameters, beside PyTorch's default and fused Adam."""
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
    """A group with one row: a step of this function of the folder workloads."""

    def group(rng: np.random.Generator) -> Iterator[Row]:
        batch = min(BATCH, 64) if workload == "sampling" else BATCH
        yield step_row(rng, workload, f"{name}, batch {batch}", batch)

    return group


def step_row(rng: np.random.Generator, workload: str, name: str, batch: int) -> Row:
    seed = int(rng.integers(2**31))
    libraries = ["tinygen"] if torch is None else ["tinygen", "pytorch"]
    workers = {library: Worker(library, workload, batch, seed) for library in libraries}
    sizes = {worker.setup[0] for worker in workers.values()}
    assert len(sizes) == 1, f"{workload}: the networks' numbers of parameters differ: {sizes}"
    times: dict[str, list[float]] = {library: [] for library in libraries}
    for _ in range(ROUNDS):
        for library, worker in workers.items():
            time.sleep(PAUSE)
            worker.run(1)  # uncounted: the cache holds the other library's data
            times[library] += worker.run(max(1, int(TURN / worker.run(1)[0])))
    medians = {library: float(np.median(seconds)) for library, seconds in times.items()}
    bound = workers["tinygen"].setup[1] / gemm_speed()
    result = row(workload, name, medians["tinygen"], medians.get("pytorch", float("nan")), bound)
    result["batch"] = batch
    for library, worker in workers.items():
        result[f"{library}_bytes"] = {"before": worker.setup[2], "peak": worker.close()}
    return result


def growth(rng: np.random.Generator) -> Iterator[Row]:
    """The DCGAN's step by batch size."""
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


def row(group: str, name: str, ours: float, theirs: float, bound: float | None = None) -> Row:
    result: Row = {"group": group, "name": name, "tinygen_s": ours, "lower_bound_s": bound}
    if np.isfinite(theirs):
        result |= {"pytorch_s": theirs, "ratio": ours / theirs}
    return result


def on_device(array: np.ndarray) -> Any:
    """The array as a PyTorch tensor that requires gradients, on the device of tinygen's arrays."""
    device = "cuda" if backend.name == "cupy" and torch.cuda.is_available() else "cpu"
    return torch.tensor(np.ascontiguousarray(array), device=device, requires_grad=True)


# --- printing ------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """The processor and the versions of both libraries."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), cpu)
    version = "not installed" if torch is None else f"{torch.__version__}, eager"
    return {"processor": cpu, "tinygen": tg.describe(), "PyTorch": version}


def seconds(s: float | None) -> str:
    return "" if s is None else f"{s * 1e6:.2f} µs" if s < 1e-3 else f"{s * 1e3:.1f} ms"


def megabytes(r: Row, library: str) -> str:
    memory = r.get(f"{library}_bytes")
    if not memory or memory["peak"] is None:
        return ""
    return f"{memory['peak'] / 1e6:.0f} ({(memory['peak'] - memory['before']) / 1e6:.0f})"


def table(rows: list[Row]) -> Iterator[str]:
    with_memory = any(r.get("tinygen_bytes") for r in rows)
    yield (
        "| workload | tinygen | PyTorch | ratio | lower bound |"
        + (" MB tinygen | MB PyTorch |" if with_memory else "")
    )
    yield "|---|---|---|---|---|" + ("---|---|" if with_memory else "")
    for r in rows:
        ratio = f"{r['ratio']:.2f}" if "ratio" in r else ""
        yield (
            f"| {r['name']} | {seconds(r['tinygen_s'])} | {seconds(r.get('pytorch_s'))} "
            f"| {ratio} | {seconds(r['lower_bound_s'])} |"
            + (f" {megabytes(r, 'tinygen')} | {megabytes(r, 'pytorch')} |" if with_memory else "")
        )
    ratios = [r["ratio"] for r in rows if r["group"] == "conv" and "ratio" in r]
    if ratios:
        yield (
            f"| conv, geometric mean | | | {np.exp(np.mean(np.log(ratios))):.2f} | |"
            + (" | |" if with_memory else "")
        )


STYLES = {"tinygen": ("#0072b2", "o"), "pytorch": ("#e69f00", "s"), "lower_bound": ("#8a8a8a", "|")}
LABELS = {"pytorch": "PyTorch", "lower_bound": "lower bound"}


def draw(rows: list[Row]) -> Figure:
    """Milliseconds of the workloads with a lower bound, and of the DCGAN's step by batch size."""
    steps = [r for r in rows if r["lower_bound_s"] and r["group"] != "growth"][::-1]
    by_batch = [r for r in rows if r["group"] == "growth"]
    panels = [p for p in (steps, by_batch) if p]
    figure = Figure(
        figsize=(6.5 * len(panels) + 1.5, max(4, 0.5 * len(steps))), layout="constrained"
    )
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        for series, (colour, marker) in STYLES.items():
            points = [
                (r["batch"] if panel is by_batch else i, 1e3 * r[f"{series}_s"])
                for i, r in enumerate(panel)
                if r.get(f"{series}_s")
            ]
            if not points:
                continue
            xs, ys = zip(*points, strict=True)
            label = LABELS.get(series, series)
            if panel is by_batch:
                ax.plot(xs, ys, c=colour, marker=marker, label=label)
            else:
                ax.scatter(ys, xs, c=colour, marker=marker, s=60, label=label, zorder=2)
        if panel is by_batch:
            ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="milliseconds")
            ax.set_title("DCGAN training step")
            ax.set_xticks([r["batch"] for r in by_batch], [r["batch"] for r in by_batch])
            ax.minorticks_off()
        else:
            ax.set_yticks(range(len(panel)), [r["name"] for r in panel], size=8)
            ax.set(xscale="log", xlabel="milliseconds")
        axis = "both" if panel is by_batch else "x"
        ax.grid(axis=axis, which="both", color="#e6e6e6", linewidth=0.6)
        ax.spines[:].set_visible(False)
        ax.legend(frameon=False)
    return figure


def main() -> None:
    global ROUNDS, RUNS, TURN, BATCH, BATCHES
    parser = argparse.ArgumentParser(description="Time tinygen against PyTorch.")
    add = parser.add_argument
    add("--quick", action="store_true", help="smoke test: one run of each workload")
    groups = list(WORKLOADS)
    add("--only", nargs="+", choices=groups, default=groups, help="groups to run (default: all)")
    add("--backend", help='"numpy" or "cupy"')
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--seed", type=int, default=0, help="random seed of the arrays (default: 0)")
    out = Path("runs/benchmark")
    add("--out", type=Path, default=out, help="output folder of the plot (default: runs/benchmark)")
    args = parser.parse_args()
    tg.keep_memory()  # as the examples' command line does
    if args.backend:
        os.environ["TINYGEN_BACKEND"] = args.backend  # read by pytorch_steps
        tg.use(args.backend)
    if args.quick:
        ROUNDS = RUNS = 1
        TURN, BATCH, BATCHES = 0, 8, [8, 16]
    if torch is not None:
        torch.set_num_threads(backend.threads)

    rows = []
    for group in args.only:
        for result in WORKLOADS[group](np.random.default_rng(args.seed)):
            rows.append(result)
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)

    report = {"machine": machine(), "rows": rows}
    if args.json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        print(*(f"{k}: {v}" for k, v in report["machine"].items()), "", *table(rows), sep="\n")
    if any(r["lower_bound_s"] for r in rows):
        args.out.mkdir(parents=True, exist_ok=True)
        part, path = args.out / "benchmark.part.png", args.out / "benchmark.png"
        draw(rows).savefig(part, dpi=150)
        os.replace(part, path)
        print(f"\nsee {path}", file=sys.stderr if args.json else sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
