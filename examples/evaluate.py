"""Compares the samples of several runs by all scores, in one table and one figure.

Each run must have samples: `--samples 5000` makes any example write them, with `--resume` also
after a run has finished. They are compared with held-out images by the features of a small
classifier (tinygen/metrics/classifier.py). Below each score are its 95 % interval and the score of
as many real images. A model can beat those only by chance, or with too little diversity.
tinygen/metrics/scores.py defines the scores.

    python examples/vae_mnist.py --samples 5000
    python examples/vae_variants.py --net conv --out runs/vae_conv --samples 5000
    python examples/evaluate.py runs/vae_mnist runs/vae_conv

Without a run, real images are degraded to show what the scores notice: they are blurred, noisy,
repeated, or from half of the classes.

    python examples/evaluate.py

The output folder, runs/evaluate, holds scores.png and scores.json.

Reading order: `main`; `samples_of`; `images_of`, the real images; `degraded`; `draw`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import zipfile
import zlib
from pathlib import Path

import numpy as np
from matplotlib.ticker import StrMethodFormatter

from tinygen import data, metrics
from tinygen.autograd import backend
from tinygen.image import style
from tinygen.metrics.classifier import FEATURES, Classifier, load, pretrained
from tinygen.run import RunError, commandline
from tinygen.run.folder import write_json

TIMES = 100  # bootstrap samples
QUICK = {"real": 1500, "times": 10}
BETTER = {"FID": "lower", "KID": "lower"}  # for the other scores: higher
SCALE = {"FID": {"value": "log"}, "KID": {"value": "symlog", "linthresh": 0.1}}


def main() -> None:
    args = parsed()
    sets, name, size = {}, args.data, 28
    if args.runs:
        samples = {folder: samples_of(folder) for folder in args.runs}
        trained_on = {data_set for _, data_set in samples.values()}
        if len(trained_on) > 1 and not args.data:
            raise RunError(
                "the runs were trained on different sets: "
                + ", ".join(f"{folder} on {data_set}" for folder, (_, data_set) in samples.items())
                + "; choose one with --data"
            )
        name = args.data or trained_on.pop()
        sets = {str(folder): images for folder, (images, _) in samples.items()}
        size = next(iter(sets.values())).shape[1]
    name = commandline.choose(name or "auto")
    classifier = classifier_for(name, size, args.classifier)
    rng = np.random.default_rng(args.seed)
    real = images_of(name, classifier.image[0], args.real, args.training, rng=rng)
    if not sets:
        real, sets = degraded(real, rng=rng)
    n, m = min(map(len, sets.values())), len(real.images)
    if m < 2 * n:
        n = m // 2
        print(f"There are only {m} real images, so only {n} samples of each run are used.")
    if n <= FEATURES:
        raise RunError(
            f"{n} samples are too few: expected at least {FEATURES + 1} of each run, and twice as "
            f"many real images"
        )

    predictions = classifier.predict(real.images)
    # the same random numbers, so that all runs are compared with the same real images
    scores = {
        title: metrics.evaluate(
            classifier.predict(images[:n]),
            predictions,
            times=args.times,
            rng=np.random.default_rng(args.seed),
        )
        for title, images in sets.items()
    }
    args.out.mkdir(parents=True, exist_ok=True)
    draw(args.out / "scores.png", scores, n)
    write_json(
        args.out / "scores.json",
        {
            "data": name,
            "samples": n,
            "real": m - n,
            "seed": args.seed,
            "scores": {
                title: {score: value._asdict() for score, value in values.items()}
                for title, values in scores.items()
            },
        },
    )
    print(f"{n} images of each, {m - n} real images of {name}:\n\n{metrics.table(scores)}\n")
    print(f"see {args.out / 'scores.png'}")


def parsed() -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n\n")
    p = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, at_least = p.add_argument, commandline.at_least
    add("runs", nargs="*", type=Path, metavar="RUN", help="folder of a run")
    add("--data", metavar="SET", help="real images (default: the training set of the runs)")
    add(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="classifier for the features, from examples/train_features.py (default: that of the "
        "set)",
    )
    add(
        "--training",
        action="store_true",
        help="compare with training images (there are more) instead of held-out ones",
    )
    add(
        "--real",
        type=at_least(2),
        metavar="N",
        help="real images, at most; enough for N/2 samples (default: all)",
    )
    add(
        "--times",
        type=at_least(2),
        default=TIMES,
        help=f"bootstrap samples for each interval (default: {TIMES})",
    )
    add("--seed", type=at_least(0), default=0, help="random seed (default: 0)")
    add("--backend", choices=backend.LIBRARIES, help="NumPy on the processor or CuPy on a GPU")
    add(
        "--out",
        type=Path,
        default=Path("runs/evaluate"),
        help="output folder (default: runs/evaluate)",
    )
    add("--quick", action="store_true", help="smoke test: few images")
    args = p.parse_args()
    if args.quick:
        vars(args).update(QUICK)
    if args.backend:
        try:
            backend.use(args.backend)
        except RuntimeError as error:
            p.error(str(error))
    return args


def samples_of(folder: Path) -> tuple[np.ndarray, str]:
    """A run's samples, and the name of its training set."""
    path = folder / "samples.npz"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            images = arrays["images"]
        settings = json.loads((folder / "config.json").read_text("utf-8"))["settings"]
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        program = Path("examples", f"{folder.name}.py")
        program = program if program.exists() else Path("examples", "….py")
        raise RunError(
            f"{folder} has no {missing}; its program writes it:\n"
            f"  python {program} --out {shlex.quote(str(folder))} --resume "
            f"--samples 5000"
        ) from None
    except (
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise RunError(
            f"{folder}: samples.npz or config.json is damaged or not from a run: {error}"
        ) from None
    if not settings.get("data"):
        raise RunError(f"{folder}: config.json names no training set; name it with --data")
    return images, settings["data"]


def images_of(
    name: str, size: int, most: int | None, training: bool, *, rng: np.random.Generator
) -> data.Labelled:
    """Held-out or training images, in random order

    MNIST's are not in random order: its test images' first half has an FID of 5 to the second.
    """
    count = most if name in ("digits", "shapes") else None  # those sets are generated
    train, test = data.load(
        name, train=count if training else 0, test=0 if training else count, size=size
    )
    images, labels = train if training else test
    order = rng.permutation(len(images))[:most]
    return data.Labelled(images[order], None if labels is None else labels[order])


def classifier_for(name: str, size: int, path: Path | None) -> Classifier:
    if path is not None:
        return load(path)
    if name not in data.sets.NAMES:
        raise RunError(
            f"no classifier for {name}; train one, and name its file with --classifier:\n"
            f"  python examples/train_features.py --data {shlex.quote(name)} --size {size}"
        )
    return pretrained(name, size=size, progress=True)


def degraded(
    real: data.Labelled, *, rng: np.random.Generator
) -> tuple[data.Labelled, dict[str, np.ndarray]]:
    """Four fifths of the images; and the other fifth, as it is and degraded in several ways."""
    n = len(real.images) // 5
    x, rest = real.images[:n], data.Labelled(real.images[n:], None)
    blurred = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    blurred = (blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]) / 4
    blurred = (blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]) / 4
    sets = {
        "real": x,
        "blurred": blurred,
        "noisy": data.noise(x, 0.1, rng=rng).clip(0, 1),
        "one in fifty, repeated": x[rng.integers(-(-n // 50), size=n)],
    }
    if real.labels is not None:
        half = np.flatnonzero(real.labels[:n] <= np.median(real.labels[:n]))
        sets["half of the classes"] = x[rng.choice(half, n)]
    return rest, sets


def draw(path: Path, scores: dict[str, dict[str, metrics.Score]], n: int) -> None:
    """A panel for each score, with a dot and an interval for each run"""
    names, runs = list(next(iter(scores.values()))), list(scores)
    at = np.arange(len(runs))
    with style.panels(
        "evaluate",
        path,
        (10, 2 + 0.5 * len(runs)),
        2,
        3,
        sharey=True,
        title=f"Scores of {n:,} images with 95 % intervals (dashed: real-data baseline)",
    ) as axes:
        for ax, name in zip(axes, names, strict=True):
            row = [scores[run][name] for run in runs]
            ax.axvline(row[0].baseline, color=style.GREY, linestyle="--", linewidth=1.2)
            ax.hlines(at, [s.low for s in row], [s.high for s in row], color=style.BLUE)
            ax.plot([s.value for s in row], at, "o", color=style.BLUE, markersize=5, clip_on=False)
            title = f"{name} ({BETTER.get(name, 'higher')} is better)"
            ax.set(title=title, yticks=at, yticklabels=runs, ylim=(len(runs) - 0.5, -0.5))
            if name in SCALE:
                ax.set_xscale(**SCALE[name])
                ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


if __name__ == "__main__":
    commandline.main(main)
