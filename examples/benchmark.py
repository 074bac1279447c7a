"""How fast tinygen is, beside PyTorch where that is installed, at the same work on this machine.

Each workload is run by both in turn, A B A B, in one process, on the same shapes, dtype and number
of threads. What is printed are medians and their ratio, tinygen ÷ PyTorch: below 1, tinygen is the
faster. Next to a convolution stands its floor: the time that its multiplications alone take at the
speed of one large matrix product.

    python examples/benchmark.py                 all of it, a minute or two
    python examples/benchmark.py --only conv     one group
    python examples/benchmark.py --json          the same for machines, on standard output

Two things would make the comparison unfair, and are taken care of: PyTorch's threads go on spinning
for a moment after they have finished, so each turn begins with a pause and a run that is not
counted; and OPENBLAS_CORETYPE, which may hold NumPy's matrix product to an older processor's
instructions while PyTorch uses all that there are, is ignored.

Reading order: `compare`, the measurement; the workloads; below them, only printing.
"""

from __future__ import annotations

import argparse
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

import tinygen as tg
from tinygen import backend

try:
    import torch
except ImportError:
    torch = None

ROUNDS, RUNS = 5, 5  # turns of each side, and counted runs in each turn
PAUSE = 0.05  # seconds before a turn
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


def compare(ours: Callable[[], Any], theirs: Callable[[], Any] | None) -> tuple[float, float]:
    """The median seconds of both, by turns; NaN for theirs if there is none."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, kept in zip((ours, theirs), times, strict=True):
            if run is None:
                continue
            time.sleep(PAUSE)
            run()
            for _ in range(RUNS):
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


def gemm_speed() -> float:
    """Multiply-adds per second of one large float32 matrix product."""
    a, b = (tg.xp.ones((1024, 1024), "f4") for _ in range(2))
    return 1024**3 / compare(lambda: a @ b, None)[0]


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


WORKLOADS = {"overhead": overhead, "conv": conv}


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


def table(rows: list[Row]) -> Iterator[str]:
    yield "| workload | tinygen | PyTorch | ratio | floor |"
    yield "|---|---|---|---|---|"
    for r in rows:
        ratio = f"{r['ratio']:.2f}" if "ratio" in r else ""
        yield (f"| {r['name']} | {seconds(r['tinygen_s'])} | {seconds(r.get('pytorch_s'))} "
               f"| {ratio} | {seconds(r['floor_s'])} |")  # fmt: skip
    ratios = [r["ratio"] for r in rows if r["group"] == "conv" and "ratio" in r]
    if ratios:
        yield f"| conv, geometric mean | | | {np.exp(np.mean(np.log(ratios))):.2f} | |"


def draw(rows: list[Row]) -> Figure:
    """Milliseconds of the convolutions: tinygen, PyTorch, and the floor."""
    rows = [r for r in rows if r["group"] == "conv"][::-1]
    figure = Figure(figsize=(8, 0.6 * len(rows) + 1.2), layout="constrained")
    ax = figure.add_subplot()
    for key, colour, marker in (
        ("tinygen_s", "#0072b2", "o"), ("pytorch_s", "#e69f00", "s"), ("floor_s", "#8a8a8a", "|")
    ):  # fmt: skip
        points = [(1e3 * r[key], i) for i, r in enumerate(rows) if r.get(key)]
        if points:
            ax.scatter(*zip(*points, strict=True), c=colour, marker=marker, s=60,
                       label=key.removesuffix("_s"), zorder=2)  # fmt: skip
    ax.set_yticks(range(len(rows)), [r["name"] for r in rows], size=8)
    ax.set(xscale="log", xlabel="milliseconds", title="a convolution and both its gradients")
    ax.grid(axis="x", which="both", color="#e6e6e6", linewidth=0.6)
    ax.spines[:].set_visible(False)
    ax.legend(frameon=False)
    return figure


def main() -> None:
    global ROUNDS, RUNS
    parser = argparse.ArgumentParser(description="Time tinygen beside PyTorch.")
    parser.add_argument("--quick", action="store_true", help="one run of each, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--backend", help='"numpy" or "cupy"')
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--seed", type=int, default=0, help="for the entries of the arrays")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    args = parser.parse_args()
    if args.backend:
        tg.use(args.backend)
    if args.quick:
        ROUNDS = RUNS = 1
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
    if "conv" in args.only:
        args.out.mkdir(parents=True, exist_ok=True)
        part, path = args.out / "benchmark.part.png", args.out / "benchmark.png"
        draw(rows).savefig(part, dpi=150)
        os.replace(part, path)
        print(f"\nThe convolutions, drawn: {path}", file=sys.stderr if args.json else sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
