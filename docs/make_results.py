"""Score the runs of all families alike, and write the table, figures and films of the book.

    python docs/make_results.py [RUNS]

RUNS is the folder with the runs (default: runs). Runs that are missing are named, with the command
that makes each, and keep the rows that docs/results.md has. The first samples of each run are
compared with the same held-out images of MNIST; its training time and what it learned are from its
results.json. results.npz holds what figures_results.py draws.

Reading order: `FAMILIES`; `main`; `judged`, `row`; `excerpt`.
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
from PIL import Image

from tinygen import data, metrics
from tinygen._files import replacing, save_arrays
from tinygen.metrics import classifier

PAGE = Path(__file__).parent / "results.md"
FIGURES = Path(__file__).parent / "figures"
COUNT = 1000  # samples of each
SHOWN, SIDE = 20, 28
SEEDS = (1, 2)  # besides 0


class Family(NamedTuple):
    """`options` are for `python examples/PROGRAM.py`, which writes into `folder` in RUNS."""

    name: str
    program: str
    folder: str
    options: str = ""
    inner: str = ""  # the folder of a second stage, in that
    cheap: bool = False  # so that other seeds are tried, too

    @property
    def guided(self) -> bool:
        """Whether the network is conditioned on the class, and guided to it."""
        family = self.program.partition("_")[0]
        return family in figures_results.GUIDED and "--unconditional" not in self.options

    @property
    def command(self) -> str:
        out = "" if self.folder == self.program else f"--out runs/{self.folder}"
        words = ("python", f"examples/{self.program}.py", self.options, f"--samples {COUNT}", out)
        return " ".join(word for word in words if word)


FAMILIES = [
    Family("VAE, dense", "vae_mnist", "vae_mnist", cheap=True),
    Family("VAE, convolutions", "vae_variants", "vae_conv", "--net conv --epochs 20", cheap=True),
    Family("VQ-VAE and prior", "vqvae_mnist", "vqvae_mnist", cheap=True),
    Family("DCGAN", "gan_mnist", "gan_mnist", cheap=True),
    Family("… hinge, spectral norm", "gan_variants", "gan_hinge", "--loss hinge", cheap=True),
    Family("… WGAN-GP", "gan_variants", "gan_wgan_gp", "--loss wgan-gp", cheap=True),
    Family("diffusion", "diffusion_variants", "diffusion_unconditional", "--unconditional"),
    Family("flow matching", "flow_variants", "flow_unconditional", "--unconditional"),
    Family("diffusion, guided", "diffusion_mnist", "diffusion_mnist"),
    Family(
        "latent diffusion, guided",
        "latent_diffusion",
        "latent_mnist",
        "--data mnist --epochs 2 --latent-epochs 8",
    ),
    Family("flow matching, guided", "flow_variants", "flow_variants", "--reflow"),
    Family("… reflow, one step", "flow_variants", "flow_variants", "--reflow", "reflow"),
]

# the films of the chapters: the run's own, which frames (0 is the first, 1 the last), their size
LATER, EVENLY = np.linspace(0, 1, 13) ** 2, np.linspace(0, 1, 13)
FILMS = {
    "vae_training": ("vae_mnist/training.gif", LATER, 1.0),
    "gan_training": ("gan_mnist/training.gif", LATER, 1.0),
    "diffusion_denoising": ("diffusion_unconditional/denoising.gif", EVENLY, 0.75),
    "flow_denoising": ("flow_unconditional/denoising.gif", EVENLY, 0.75),
}


class Found(NamedTuple):
    samples: np.ndarray[Any, Any]
    scores: dict[str, metrics.Score]
    results: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="?", default=Path("runs"), help="folder of runs")
    runs = parser.parse_args().runs
    there = [f for f in FAMILIES if (runs / f.folder / f.inner / "samples.npz").exists()]
    for missing in dict.fromkeys(f.command for f in FAMILIES if f not in there):
        print(f"missing: {missing}")
    images = data.load("mnist")[1].images
    images = images[np.random.default_rng(0).permutation(len(images))]  # by writer in the file
    network = classifier.pretrained("mnist")
    real = network.predict(images)
    found = {f: judged(runs / f.folder / f.inner, network, real) for f in there}
    for f in found:
        if f.inner:  # the first stage had to come before it
            first = json.loads((runs / f.folder / "results.json").read_text("utf-8"))
            found[f].results["seconds"] += first["seconds"]

    text = PAGE.read_text("utf-8")
    before = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:2] == "| "}
    lines = []
    for f in FAMILIES:
        folders = [runs / f"{f.folder}_seed{seed}" for seed in SEEDS if f.cheap]
        others = [judged(each, network, real) for each in folders if each.exists()]
        fids = ", ".join(f"{other.scores['FID'].value:.1f}" for other in others)
        line = row(f, found[f]) if f in found else before[f.name]
        lines.append(with_seeds(line, fids or with_seeds(before.get(f.name, line))))
    commands = ["```sh", *dict.fromkeys(f.command for f in FAMILIES), "```"]
    head = text.partition("<!-- table -->\n\n")[2].splitlines()[:2]
    last = before["*real-data baseline*"]
    for name, block in (("table", [*head, *lines, last]), ("commands", commands)):
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
    for name, (film, places, scale) in FILMS.items():
        if (runs / film).exists():
            excerpt(runs / film, FIGURES / f"{name}.gif", places, scale)
    print("\n".join(lines))


def with_seeds(line: str, fids: str | None = None) -> str:
    """The row with the FIDs of other seeds; or, without any, those that it has."""
    cells = line.split("|")
    if fids is None:
        return cells[7].strip()
    return "|".join([*cells[:7], f" {fids} " if fids else "  ", *cells[8:]])


def keep(images: np.ndarray[Any, Any], found: dict[Family, Found]) -> None:
    """Into results.npz, for each family and the real images: the first samples, and the numbers.

    A family whose run is missing keeps what is there.
    """
    old = figures_results.kept()
    place = {str(name): k for k, name in enumerate(old["names"])}
    columns = ("FID", "precision", "recall")
    rows: dict[str, list[Any]] = {key: [old[key][0]] for key in ("samples", "minutes", *columns)}
    for f in FAMILIES:
        if f in found:
            shown = np.rint(255 * found[f].samples[:SHOWN, :, :, 0]).astype(np.uint8)
            values = [found[f].scores[c].value for c in columns]
            new = [shown, found[f].results["seconds"] / 60, *values]
        else:
            new = [old[key][place[f.name]] for key in rows]
        for key, value in zip(rows, new, strict=True):
            rows[key].append(value)
    save_arrays(
        figures_results.KEPT,
        compress=True,
        names=np.array(["real images", *(f.name for f in FAMILIES)]),
        programs=np.array(["", *(f.program for f in FAMILIES)]),
        guided=np.array([False, *(f.guided for f in FAMILIES)]),
        **{key: np.array(value) for key, value in rows.items()},
    )


def judged(folder: Path, network: classifier.Classifier, real: metrics.Predictions) -> Found:
    with np.load(folder / "samples.npz", allow_pickle=False) as arrays:
        samples = arrays["images"][:COUNT]
    if len(samples) < COUNT or samples.shape[1:] != (SIDE, SIDE, 1):
        sys.exit(f"{folder}: expected {COUNT} samples of {SIDE} × {SIDE} × 1, got {samples.shape}")
    scores = metrics.evaluate(network.predict(samples), real, rng=np.random.default_rng(0))
    return Found(samples, scores, json.loads((folder / "results.json").read_text("utf-8")))


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
        f"| {interval(s['FID'])} |  | {s['precision'].value:.2f} | {s['recall'].value:.2f} "
        f"| {p} |"
    )


def interval(score: metrics.Score) -> str:
    return f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})"


def excerpt(film: Path, path: Path, places: np.ndarray[Any, Any], scale: float) -> None:
    """Some frames of a GIF, in eight greys: a tenth of its bytes."""
    frames = []
    with Image.open(film) as gif:
        for k in sorted({round(p) for p in places * (gif.n_frames - 1)}):
            gif.seek(k)
            size = [round(scale * n) for n in gif.size]
            frames.append(gif.convert("L").resize(size, Image.Resampling.LANCZOS).quantize(8))
    times = [400] * (len(frames) - 1) + [2500]  # milliseconds
    first, *rest = frames
    with replacing(path) as file:
        first.save(file, "GIF", save_all=True, append_images=rest, duration=times, loop=0)


if __name__ == "__main__":
    main()
