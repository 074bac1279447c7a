"""Judges all families' runs alike, and writes the table and the pictures of docs/results.md.

    python docs/make_results.py [RUNS]

RUNS is the folder in which the runs are (default: runs); those that are missing are named, with
the command that makes each, and left out. Of every run the first samples are compared with the same
held-out images of MNIST, in random order; how long it trained and what it has learnt are from its
own results.json.

What the pictures show is kept in results.npz, from which figures_results.py draws them.

Reading order: `FAMILIES`; `main`; `judged`, `row`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import figures_results
import matplotlib
import numpy as np
from drawing import STYLE, save

from tinygen import data, metrics
from tinygen._files import replacing, save_arrays
from tinygen.metrics import classifier

PAGE = Path(__file__).parent / "results.md"
FIGURES = Path(__file__).parent / "figures"
COUNT = 1000  # samples of each
SHOWN, SIDE = 20, 28


class Family(NamedTuple):
    """`options` go behind `python examples/PROGRAM.py`; `folder`, in RUNS, is where it writes."""

    name: str
    program: str
    folder: str
    options: str = ""
    inner: str = ""  # the folder of a second stage, in that

    @property
    def guided(self) -> bool:
        """Whether the network is conditioned on the class, and guided to it."""
        return self.program.partition("_")[0] in figures_results.GUIDED

    @property
    def command(self) -> str:
        out = "" if self.folder == self.program else f"--out runs/{self.folder}"
        words = ("python", f"examples/{self.program}.py", self.options, f"--samples {COUNT}", out)
        return " ".join(word for word in words if word)


FAMILIES = [
    Family("VAE, dense", "vae_mnist", "vae_mnist"),
    Family("VAE, convolutions", "vae_variants", "vae_conv", "--net conv --epochs 20"),
    Family("VQ-VAE and prior", "vqvae_mnist", "vqvae_mnist"),
    Family("DCGAN", "gan_mnist", "gan_mnist"),
    Family("… hinge, spectral norm", "gan_variants", "gan_hinge", "--loss hinge"),
    Family("… WGAN-GP", "gan_variants", "gan_wgan_gp", "--loss wgan-gp"),
    Family("diffusion", "diffusion_mnist", "diffusion_mnist"),
    Family(
        "latent diffusion",
        "latent_diffusion",
        "latent_mnist",
        "--data mnist --epochs 2 --latent-epochs 8",
    ),
    Family("flow matching", "flow_variants", "flow_variants", "--reflow"),
    Family("… reflow, one step", "flow_variants", "flow_variants", "--reflow", "reflow"),
]


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
    classify = classifier.pretrained("mnist")
    real = classify.predict(images)
    found = {f: judged(f, runs / f.folder / f.inner, classify, real) for f in there}
    floor = next(iter(found.values())).scores
    lines = [
        "| | class-conditional, guided | training | a sample | parameters | FID | precision "
        "| recall | −log p |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(f, found[f]) for f in there),
        f"| *real-data baseline* | | | | | {floor['FID'].baseline:.1f} "
        f"| {floor['precision'].baseline:.2f} | {floor['recall'].baseline:.2f} | |",
    ]
    commands = ["```sh", *dict.fromkeys(f.command for f in there), "```"]
    text = PAGE.read_text("utf-8")
    for name, block in (("table", lines), ("commands", commands)):
        text, times = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda m, b=block: m[1] + "\n" + "\n".join(b) + "\n\n" + m[2],
            text,
            flags=re.DOTALL,
        )
        assert times == 1, f"{PAGE} must have one place for the {name}"
    with replacing(PAGE) as file:
        file.write(text.encode())
    keep(images, found)
    with matplotlib.rc_context(STYLE):
        for draw in figures_results.FIGURES:
            save(draw(), FIGURES / f"{draw.__name__}.png")
    print("\n".join(lines))


def keep(images: np.ndarray[Any, Any], found: dict[Family, Found]) -> None:
    """The first samples of each run, none chosen, and its numbers; the real images' come first."""
    floor = [score.baseline for score in next(iter(found.values())).scores.values()]
    names = list(next(iter(found.values())).scores)
    shown = [images, *(each.samples for each in found.values())]
    scores = [floor, *([s.value for s in each.scores.values()] for each in found.values())]
    minutes = [np.nan, *(each.results["seconds"] / 60 for each in found.values())]
    save_arrays(
        figures_results.KEPT,
        compress=True,
        names=np.array(["real images", *(f.name for f in found)]),
        programs=np.array(["", *(f.program for f in found)]),
        samples=np.rint([255 * each[:SHOWN, :, :, 0] for each in shown]).astype(np.uint8),
        minutes=np.array(minutes),
        **{
            name: np.array([row[k] for row in scores])
            for k, name in enumerate(names)
            if name in ("FID", "precision", "recall")
        },
    )


def judged(
    family: Family, folder: Path, classify: classifier.Classifier, real: metrics.Predictions
) -> Found:
    with np.load(folder / "samples.npz", allow_pickle=False) as arrays:
        drawn = arrays["images"][:COUNT]
    if len(drawn) < COUNT or drawn.shape[1:] != (SIDE, SIDE, 1):
        sys.exit(f"{folder}: expected {COUNT} samples of {SIDE} × {SIDE} × 1, got {drawn.shape}")
    scores = metrics.evaluate(classify.predict(drawn), real, rng=np.random.default_rng(0))
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
    return (
        f"| {family.name} | {'yes' if family.guided else 'no'} | {minutes}:{seconds:02d} "
        f"| {f'{ms:.0f}' if ms >= 10 else f'{ms:.2g}'} ms "
        f"| {r['parameters']:,} "
        f"| {interval(s['FID'])} | {s['precision'].value:.2f} | {s['recall'].value:.2f} "
        f"| {p} |"
    )


def interval(score: metrics.Score) -> str:
    return f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})"


if __name__ == "__main__":
    main()
