"""Times tinygen against PyTorch, if it is installed, on the same work and machine.

The two libraries run each workload alternately, on the same shapes, dtype and number of threads.
Operations run in this process; whole training steps run in a process of each library, which waits
while the other works. The table has medians and their ratio, tinygen ÷ PyTorch: below 1, tinygen is
faster. The lower bound is the time of the matrix products' multiplications alone, at the speed of
one large product. Memory is each process's peak and, in brackets, its growth during the steps.
The group `peers` compares two small training steps with JAX, DeZero, HIPS autograd and tinygrad
too, as far as they are installed; these have a table of their own.

    python examples/benchmark.py                 everything, in a few minutes
    python examples/benchmark.py --only conv     one group
    python examples/benchmark.py --json          JSON on standard output

Two effects would bias the comparison. PyTorch's threads spin for a moment after they finish, so
each turn begins with a pause and an uncounted run. And OPENBLAS_CORETYPE is ignored, because it may
restrict NumPy's matrix product to an older processor's instructions.

Reading order: `compare`, the measurement; the workloads (the training steps are in the folder
workloads, in a file for each library); the printing.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
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
BUSY = 0.5  # load average above which the machine is busy
UNSTEADY = 1.2  # largest ÷ smallest value of the rounds above which a number is in brackets

# the steps file of each: the module that it needs, and the name in the tables
PEERS = {
    "pytorch": ("torch", "PyTorch"),
    "jax": ("jax", "JAX"),
    "dezero": ("dezero", "DeZero"),
    "autograd": ("autograd", "HIPS autograd"),
    "tinygrad": ("tinygrad", "tinygrad"),
}

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
Times = dict[str, np.ndarray]  # library: its median seconds in each round


def compare(ours: Callable[[], Any], theirs: Callable[[], Any] | None) -> Times:
    """The times of tinygen and, unless `theirs` is None, of PyTorch, run alternately."""
    runs = {"tinygen": ours} | ({} if theirs is None else {"pytorch": theirs})
    times: Times = {library: np.empty((ROUNDS, RUNS)) for library in runs}
    for turn in range(ROUNDS):
        for library, run in runs.items():
            time.sleep(PAUSE)
            run()
            finish()
            for i in range(RUNS):
                began = time.perf_counter()
                run()
                finish()
                times[library][turn, i] = time.perf_counter() - began
    return {library: np.median(t, axis=1) for library, t in times.items()}


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
    return 2048**3 / float(np.median(compare(lambda: parallel.product(a, b), None)["tinygen"]))


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
        one = {library: t / CHAIN for library, t in times.items()}
        yield row("overhead", f"{name}, one operation", one)


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
        yield row("conv", name, compare(ours, theirs), lower_bound)


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
        yield row("adam", name, compare(lambda: ours.step([g]), theirs))


def step(workload: str, name: str) -> Callable[[np.random.Generator], Iterator[Row]]:
    """A group with one row: a step of this function of the folder workloads."""

    def group(rng: np.random.Generator) -> Iterator[Row]:
        batch = min(BATCH, 64) if workload == "sampling" else BATCH
        yield step_row(rng, workload, f"{name}, batch {batch}", batch)

    return group


def step_row(
    rng: np.random.Generator,
    workload: str,
    name: str,
    batch: int,
    peers: Iterable[str] = ("pytorch",),
) -> Row:
    """The row of a training step in tinygen and in those of `peers` that are installed."""
    seed = int(rng.integers(2**31))
    libraries = ["tinygen", *filter(installed, peers)]
    workers = {library: Worker(library, workload, batch, seed) for library in libraries}
    sizes = {worker.setup[0] for worker in workers.values()}
    assert len(sizes) == 1, f"{workload}: the networks' numbers of parameters differ: {sizes}"
    times: Times = {library: np.empty(ROUNDS) for library in libraries}
    for turn in range(ROUNDS):
        for library, worker in workers.items():
            time.sleep(PAUSE)
            worker.run(1 if turn else 2)  # uncounted: compiles, and fills the cache again
            times[library][turn] = np.median(worker.run(max(1, int(TURN / worker.run(1)[0]))))
    result = row(workload, name, times, workers["tinygen"].setup[1] / gemm_speed())
    result["batch"] = batch
    for library, worker in workers.items():
        result[f"{library}_bytes"] = {"before": worker.setup[2], "peak": worker.close()}
    return result


def installed(peer: str) -> bool:
    if peer == "tinygrad" and not shutil.which(os.environ.get("CC", "clang")):
        return False  # it compiles with clang
    spec = importlib.util.find_spec(PEERS[peer][0])
    return spec is not None and spec.origin is not None  # any folder of the name has a spec


def growth(rng: np.random.Generator) -> Iterator[Row]:
    """The DCGAN's step by batch size."""
    for batch in BATCHES:
        yield step_row(rng, "dcgan", f"DCGAN step, batch {batch}", batch) | {"group": "growth"}


def peers(rng: np.random.Generator) -> Iterator[Row]:
    """A step of a dense and of a small convolutional network, in every installed library."""
    missing = [name for peer, (_, name) in PEERS.items() if not installed(peer)]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}", file=sys.stderr)
    steps = (
        ("dense_vae", "dense VAE 784-400-20", BATCH),
        ("small_conv", "convolutional classifier", min(BATCH, 64)),
    )
    for workload, name, batch in steps:
        result = step_row(rng, workload, f"{name}, batch {batch}", batch, PEERS)
        yield result | {"group": "peers"}


WORKLOADS = {
    "overhead": overhead,
    "conv": conv,
    "adam": adam,
    "vae": step("dense_vae", "dense VAE 784-400-20, training step"),
    "dcgan": step("dcgan", "DCGAN 28×28, training step"),
    "unet": step("unet", "U-Net 28×28, 597,345 parameters, training step"),
    "sampling": step("sampling", "samples, in 50 evaluations of the U-Net"),
    "growth": growth,
    "peers": peers,
}


def row(group: str, name: str, times: Times, bound: float | None = None) -> Row:
    """The medians, the ratios tinygen ÷ peer, and how far these differ between the rounds."""
    medians = {library: float(np.median(t)) for library, t in times.items()}
    result: Row = {"group": group, "name": name, "lower_bound_s": bound}
    result |= {f"{library}_s": s for library, s in medians.items()}
    ratios = {peer: times["tinygen"] / t for peer, t in times.items() if peer != "tinygen"}
    result |= {f"{peer}_ratio": medians["tinygen"] / medians[peer] for peer in ratios}
    spreads = {library: t.max() / t.min() for library, t in (ratios or times).items()}
    return result | {f"{library}_spread": float(spread) for library, spread in spreads.items()}


def on_device(array: np.ndarray) -> Any:
    """The array as a PyTorch tensor that requires gradients, on the device of tinygen's arrays."""
    device = "cuda" if backend.name == "cupy" and torch.cuda.is_available() else "cpu"
    return torch.tensor(np.ascontiguousarray(array), device=device, requires_grad=True)


# --- printing ------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """The processor and the versions of the libraries."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), cpu)
    versions = {
        name: importlib.metadata.version(module) if installed(peer) else "not installed"
        for peer, (module, name) in PEERS.items()
    }
    return {"processor": cpu, "tinygen": tg.describe()} | versions


def seconds(s: float | None) -> str:
    return "" if s is None else f"{s * 1e6:.2f} µs" if s < 1e-3 else f"{s * 1e3:.1f} ms"


def megabytes(r: Row, library: str) -> str:
    memory = r.get(f"{library}_bytes")
    if not memory or memory["peak"] is None:
        return ""
    return f"{memory['peak'] / 1e6:.0f} ({(memory['peak'] - memory['before']) / 1e6:.0f})"


def ratio(r: Row, peer: str) -> str:
    return steady(f"{r[f'{peer}_ratio']:.2f}", r, peer) if f"{peer}_ratio" in r else ""


def steady(text: str, r: Row, library: str) -> str:
    """The text, in brackets if it differs too much between rounds."""
    return f"({text})" if r.get(f"{library}_spread", 1) > UNSTEADY else text


def table(rows: list[Row]) -> Iterator[str]:
    with_memory = any(r.get("tinygen_bytes") for r in rows)
    yield (
        "| workload | tinygen | PyTorch | ratio | lower bound |"
        + (" MB tinygen | MB PyTorch |" if with_memory else "")
    )
    yield "|---|---|---|---|---|" + ("---|---|" if with_memory else "")
    for r in rows:
        own = steady(seconds(r["tinygen_s"]), r, "tinygen")
        yield (
            f"| {r['name']} | {own} | {seconds(r.get('pytorch_s'))} "
            f"| {ratio(r, 'pytorch')} | {seconds(r['lower_bound_s'])} |"
            + (f" {megabytes(r, 'tinygen')} | {megabytes(r, 'pytorch')} |" if with_memory else "")
        )
    ratios = [r["pytorch_ratio"] for r in rows if r["group"] == "conv" and "pytorch_s" in r]
    if ratios:
        yield (
            f"| conv, geometric mean | | | {np.exp(np.mean(np.log(ratios))):.2f} | |"
            + (" | |" if with_memory else "")
        )


def peer_table(r: Row) -> Iterator[str]:
    yield from (f"| {r['name']} | one step | tinygen ÷ peer | MB |", "|---|---|---|---|")
    own = steady(seconds(r["tinygen_s"]), r, "tinygen")
    yield f"| tinygen | {own} | | {megabytes(r, 'tinygen')} |"
    for peer, (_, name) in PEERS.items():
        if f"{peer}_s" in r:
            time = seconds(r[f"{peer}_s"])
            yield f"| {name} | {time} | {ratio(r, peer)} | {megabytes(r, peer)} |"
    yield f"| lower bound | {seconds(r['lower_bound_s'])} | | |"


def tables(rows: list[Row]) -> Iterator[str]:
    """A table of the comparison with PyTorch, then one for each row of the group `peers`."""
    others = [r for r in rows if r["group"] != "peers"]
    if others:
        yield from ("", *table(others))
    for r in rows:
        if r["group"] == "peers":
            yield from ("", *peer_table(r))
    if any(r[key] > UNSTEADY for r in rows for key in r if key.endswith("_spread")):
        yield f"\nIn brackets: differs by more than {UNSTEADY - 1:.0%} between rounds."


STYLES = {
    "tinygen": ("#0072b2", "o"),
    "pytorch": ("#e69f00", "s"),
    "jax": ("#009e73", "^"),
    "dezero": ("#d55e00", "D"),
    "autograd": ("#cc79a7", "v"),
    "tinygrad": ("#56b4e9", "P"),
    "lower_bound": ("#8a8a8a", "|"),
}


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
            label = PEERS[series][1] if series in PEERS else series.replace("_", " ")
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
    parser = argparse.ArgumentParser(description="Time tinygen against PyTorch and other peers.")
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
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY:
        print("The machine is busy: the numbers below are not a result.", file=sys.stderr)

    report: dict[str, Any] = {"machine": machine()}
    rows = report["rows"] = []
    for group in args.only:
        for result in WORKLOADS[group](np.random.default_rng(args.seed)):
            rows.append(result)
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)

    if args.json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        print(*(f"{k}: {v}" for k, v in report["machine"].items()), *tables(rows), sep="\n")
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
