"""Judges all families' runs alike, and writes the table and the pictures of docs/results.md.

    python docs/make_results.py [RUNS]

RUNS is the folder in which the runs are (default: runs); those that are missing are named, with
the command that makes each, and left out. Of every run the first samples are compared with the same
held-out images of MNIST, in random order; how long it trained and what it has learnt are from its
own results.json.

Reading order: `FAMILIES`; `main`; `judged`, `row`; below them, drawing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE, save
from matplotlib.figure import Figure

from tinygen import data, features, metrics
from tinygen.files import replacing

PAGE = Path(__file__).parent / "results.md"
FIGURES = Path(__file__).parent / "figures"
COUNT = 1000  # samples of each
COLOURS = {"vae": BLUE, "vqvae": BLUE, "gan": ORANGE, "diffusion": GREEN, "latent": GREEN,
           "flow": PURPLE}  # fmt: skip
TICKS = [0.5, 1, 2, 5, 10, 20, 50, 100]
SHOWN, SIDE = 20, 28


class Family(NamedTuple):
    """`options` go behind `python examples/PROGRAM.py`; `folder`, in RUNS, is where it writes."""

    name: str
    program: str
    folder: str
    options: str = ""
    inner: str = ""  # the folder of a second stage, in that

    @property
    def command(self) -> str:
        out = "" if self.folder == self.program else f"--out runs/{self.folder}"
        words = ("python", f"examples/{self.program}.py", self.options, f"--samples {COUNT}", out)
        return " ".join(word for word in words if word)


FAMILIES = [
    Family("VAE, dense", "vae_mnist", "vae_mnist"),
    Family("VAE, convolutions", "vae_mnist", "vae_conv", "--net conv --epochs 20"),
    Family("VQ-VAE and prior", "vqvae_mnist", "vqvae_mnist"),
    Family("DCGAN", "gan_mnist", "gan_mnist"),
    Family("… hinge, spectral norm", "gan_mnist", "gan_hinge", "--loss hinge"),
    Family("… WGAN-GP", "gan_mnist", "gan_wgan_gp", "--loss wgan-gp"),
    Family("diffusion", "diffusion_mnist", "diffusion_mnist"),
    Family("latent diffusion", "latent_diffusion", "latent_mnist",
           "--data mnist --epochs 2 --latent-epochs 8"),
    Family("flow matching", "flow_mnist", "flow_mnist", "--reflow"),
    Family("… reflow, one step", "flow_mnist", "flow_mnist", "--reflow", "reflow"),
]  # fmt: skip


class Found(NamedTuple):
    samples: np.ndarray[Any, Any]
    scores: dict[str, metrics.Score]
    results: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"))
    runs = parser.parse_args().runs
    there = [f for f in FAMILIES if (runs / f.folder / f.inner / "samples.npz").exists()]
    for missing in dict.fromkeys(f.command for f in FAMILIES if f not in there):
        print(f"missing: {missing}")
    if not there:
        sys.exit(f"no run of them is in {runs}")
    images = data.load("mnist")[1].images
    images = images[np.random.default_rng(0).permutation(len(images))]  # by writer in the file
    reader = features.classifier("mnist")
    real = reader.read(images)
    found = {f: judged(f, runs / f.folder / f.inner, reader, real) for f in there}
    floor = next(iter(found.values())).scores
    lines = ["| | training | a sample | parameters | FID | precision | recall | −log p |",
             "|---|---|---|---|---|---|---|---|",
             *(row(f, found[f]) for f in there),
             f"| *real images* | | | | {floor['FID'].floor:.1f} "
             f"| {floor['precision'].floor:.2f} | {floor['recall'].floor:.2f} | |"]  # fmt: skip
    commands = ["```sh", *dict.fromkeys(f.command for f in there), "```"]
    text = PAGE.read_text("utf-8")
    for name, block in (("table", lines), ("commands", commands)):
        text, times = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)",
                              lambda m, b=block: m[1] + "\n" + "\n".join(b) + "\n\n" + m[2],
                              text, flags=re.DOTALL)  # fmt: skip
        assert times == 1, f"{PAGE} must have one place for the {name}"
    with replacing(PAGE) as file:
        file.write(text.encode())
    with matplotlib.rc_context(STYLE):
        save(samples(images, found), FIGURES / "results_samples.png")
        save(compared(found), FIGURES / "results_scores.png")
    print("\n".join(lines))


def judged(
    family: Family, folder: Path, reader: features.Classifier, real: metrics.Reading
) -> Found:
    with np.load(folder / "samples.npz", allow_pickle=False) as arrays:
        drawn = arrays["images"][:COUNT]
    if len(drawn) < COUNT or drawn.shape[1:] != (SIDE, SIDE, 1):
        sys.exit(f"{folder}: expected {COUNT} samples of {SIDE} × {SIDE} × 1, got {drawn.shape}")
    scores = metrics.evaluate(reader.read(drawn), real, rng=np.random.default_rng(0))
    results = json.loads((folder / "results.json").read_text("utf-8"))
    if family.inner:  # the first stage had to come before it
        first = json.loads((folder.parent / "results.json").read_text("utf-8"))
        results["seconds"] += first["seconds"]
    return Found(drawn, scores, results)


def row(family: Family, found: Found) -> str:
    r, s = found.results, found.scores
    minutes, seconds = divmod(round(r["seconds"]), 60)
    ms = r["ms_per_sample"]
    p = f"{r['nll']:.1f} nats" if "nll" in r else ""
    if "prior" in r:  # of the codes, and of the image given these: a bound
        p = f"≤ {r['reconstruction'] + r['prior']:.1f} nats"
    if "bits_per_dimension" in r:
        p = f"{r['bits_per_dimension']:.2f} bits a pixel"
    return (f"| {family.name} | {minutes}:{seconds:02d} "
            f"| {f'{ms:.0f}' if ms >= 10 else f'{ms:.2g}'} ms "
            f"| {r['parameters']:,} "
            f"| {interval(s['FID'])} | {s['precision'].value:.2f} | {s['recall'].value:.2f} "
            f"| {p} |")  # fmt: skip


def interval(score: metrics.Score) -> str:
    return f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})"


# --- drawing --------------------------------------------------------------------------------------


def samples(images: np.ndarray[Any, Any], found: dict[Family, Found]) -> Figure:
    """The first samples of each run, in a row: none chosen."""
    rows = {"real images": images, **{f.name: each.samples for f, each in found.items()}}
    figure = Figure(figsize=(9.6, 0.36 * len(rows)), dpi=150)
    axes = figure.subplots(len(rows), 1, gridspec_kw={"left": 0.2, "right": 0.995, "top": 0.995,
                                                      "bottom": 0.005, "hspace": 0.06})  # fmt: skip
    for ax, (name, drawn) in zip(axes, rows.items(), strict=True):
        ax.imshow(1 - drawn[:SHOWN, :, :, 0].transpose(1, 0, 2).reshape(SIDE, -1), cmap="gray",
                  vmin=0, vmax=1, aspect="auto", interpolation="nearest")  # fmt: skip
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def compared(found: dict[Family, Found]) -> Figure:
    """FID by minutes of training; precision, whether samples are good, by recall, whether all."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (family, each) in enumerate(found.items(), 1):
        s, colour = each.scores, COLOURS[family.program.partition("_")[0]]
        for ax, x, y in ((left, each.results["seconds"] / 60, s["FID"].value),
                         (right, s["recall"].value, s["precision"].value)):  # fmt: skip
            ax.plot(x, y, "o", color=colour, markersize=13, alpha=0.85, clip_on=False)
            ax.text(x, y, str(number), color="white", ha="center", va="center_baseline", size=8)
    floor = next(iter(found.values())).scores
    left.axhline(floor["FID"].floor, color=GREY, linestyle="--")
    left.set(xscale="log", yscale="log", xlabel="minutes of training", ylabel="FID",
             title="cost, and how far from the data (dashed: real images)")  # fmt: skip
    for axis in (left.xaxis, left.yaxis):
        low, high = axis.get_view_interval()
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    right.plot(floor["recall"].floor, floor["precision"].floor, "x", color=GREY, markersize=9)
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall: how much of the data is covered",
              ylabel="precision: how many samples are good",
              title="quality and diversity (cross: real images)")  # fmt: skip
    names = [f"{i} {f.name}" for i, f in enumerate(found, 1)]
    figure.supxlabel("   ".join(names[:8]) + "\n" + "   ".join(names[8:]), size=8)
    return figure


if __name__ == "__main__":
    main()
