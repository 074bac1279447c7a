"""Which samples are the best? Runs compared by all scores, in one table and one figure.

Each run must have left samples: `--samples 5000` makes any example write them, `--resume` one that
has ended already. They are compared with held-out images, by features that a small network finds in
both (tinygen/metrics/classifier.py). Below each score stands where it may lie by chance, and what
as many real images come to in the samples' place: no model does better, but by chance or because it
knows only the best. What each score is tinygen/metrics/scores.py says.

    python examples/vae_mnist.py --samples 5000
    python examples/vae_variants.py --net conv --out runs/vae_conv --samples 5000
    python examples/evaluate.py runs/vae_mnist runs/vae_conv

Without a run it shows what the scores see and what they do not: real images are judged that were
blurred, spoilt by noise, or chosen unfairly.

    python examples/evaluate.py

In runs/evaluate are then scores.png and scores.json.

Reading order: `main`; `samples_of`, a run's samples; `images_of`, the real ones; `spoilt`; `draw`.
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
from tinygen.metrics import classifier
from tinygen.run import RunError, commandline
from tinygen.run.folder import write_json

TIMES = 100  # bootstrap samples
QUICK = {"real": 1500, "times": 10}
BETTER = {"FID": "less", "KID": "less"}  # of the others more is better
SCALE = {"FID": {"value": "log"}, "KID": {"value": "symlog", "linthresh": 0.1}}


def main() -> None:
    args = parsed()
    sets, name, size = {}, args.data, 28
    if args.runs:
        found = {folder: samples_of(folder) for folder in args.runs}
        learnt = {each for _, each in found.values()}
        if len(learnt) > 1 and not args.data:
            raise RunError(
                "the runs learnt from different sets, "
                + ", ".join(f"{folder} from {each}" for folder, (_, each) in found.items())
                + "; compare runs of one set, or name one by --data"
            )
        name = args.data or learnt.pop()
        sets = {str(folder): images for folder, (images, _) in found.items()}
        size = next(iter(sets.values())).shape[1]
    name = commandline.choose(name or "auto")
    classify = classifier_for(name, size, args.classifier)
    rng = np.random.default_rng(args.seed)
    real = images_of(name, classify.image[0], args.real, args.training, rng=rng)
    if not sets:
        real, sets = spoilt(real, rng=rng)
    n, m = min(map(len, sets.values())), len(real.images)
    if m < 2 * n:
        n = m // 2
        print(
            f"There are only {m} real images, half of them to compare with: {n} samples of each "
            f"run are judged"
        )
    if n <= classifier.FEATURES:
        raise RunError(
            f"{n} samples are too few: expected at least {classifier.FEATURES + 1} of "
            f"each run, and twice as many real images"
        )

    seen = classify.predict(real.images)
    # each time the same generator: so that all are compared with the same real images
    scores = {
        title: metrics.evaluate(
            classify.predict(images[:n]),
            seen,
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
                title: {each: score._asdict() for each, score in of.items()}
                for title, of in scores.items()
            },
        },
    )
    print(f"{n} images each, beside {m - n} of {name}:\n\n{metrics.table(scores)}\n")
    print(f"see {args.out / 'scores.png'}")


def parsed() -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n\n")
    p = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, at_least = p.add_argument, commandline.at_least
    add("runs", nargs="*", type=Path, metavar="RUN", help="the folder of a run")
    add("--data", metavar="SET", help="compare with this set (default: what the runs learnt from)")
    add(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="the classifier to find features with, as examples/train_features.py makes them "
        "(default: the one for the set)",
    )
    add(
        "--training",
        action="store_true",
        help="compare with images that the runs learnt from, of which there are more, and not "
        "with held-out ones",
    )
    add(
        "--real",
        type=at_least(2),
        metavar="N",
        help="so many real images at most; they do for N/2 samples (default: all)",
    )
    add(
        "--times",
        type=at_least(2),
        default=TIMES,
        help=f"bootstrap samples for each interval (default: {TIMES})",
    )
    add("--seed", type=at_least(0), default=0, help="where randomness begins (default: 0)")
    add(
        "--backend",
        choices=backend.LIBRARIES,
        help="compute features with NumPy, or with CuPy on a GPU",
    )
    add(
        "--out",
        type=Path,
        default=Path("runs/evaluate"),
        help="the folder for figure and table (default: runs/evaluate)",
    )
    add("--quick", action="store_true", help="few images, to see that all works")
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
    """The samples that a run has left, and the set that it learnt from."""
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
            f"{folder} has no {missing}; the program that made the run writes it:\n"
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
            f"{folder} has samples.npz and config.json, but they are damaged, or not of "
            f"a run: {error}"
        ) from None
    if not settings.get("data"):
        raise RunError(f"{folder} does not say which set it learnt from; name it by --data")
    return images, settings["data"]


def images_of(
    name: str, size: int, most: int | None, training: bool, *, rng: np.random.Generator
) -> data.Labelled:
    """Held-out images, or training ones, in random order

    MNIST's are in an order: the first half of its test images has an FID of 5 to the second.
    """
    draw = most if name in ("digits", "shapes") else None  # no more than are wanted
    train, test = data.load(
        name, train=draw if training else 0, test=0 if training else draw, size=size
    )
    images, labels = train if training else test
    order = rng.permutation(len(images))[:most]
    return data.Labelled(images[order], None if labels is None else labels[order])


def classifier_for(name: str, size: int, path: Path | None) -> classifier.Classifier:
    if path is not None:
        return classifier.load(path)
    if name not in data.sets.NAMES:
        raise RunError(
            f"there is no classifier for the images of {name}; train one, and name it "
            f"by --classifier:\n  python examples/train_features.py --data "
            f"{shlex.quote(name)} --size {size}"
        )
    return classifier.pretrained(name, size=size, progress=True)


def spoilt(
    real: data.Labelled, *, rng: np.random.Generator
) -> tuple[data.Labelled, dict[str, np.ndarray]]:
    """Four fifths of the images; and the others, as they are and spoilt as a model's may be."""
    n = len(real.images) // 5
    x, rest = real.images[:n], data.Labelled(real.images[n:], None)
    soft = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    soft = (soft[:, :-2] + 2 * soft[:, 1:-1] + soft[:, 2:]) / 4
    soft = (soft[:, :, :-2] + 2 * soft[:, :, 1:-1] + soft[:, :, 2:]) / 4
    sets = {
        "real, others": x,
        "blurred": soft,
        "with noise": data.noise(x, 0.1, rng=rng).clip(0, 1),
        "one in fifty, again and again": x[rng.integers(-(-n // 50), size=n)],
    }
    if real.labels is not None:
        half = np.flatnonzero(real.labels[:n] <= np.median(real.labels[:n]))
        sets["half of the classes"] = x[rng.choice(half, n)]
    return rest, sets


def draw(path: Path, scores: dict[str, dict[str, metrics.Score]], n: int) -> None:
    """A panel for each score, with a dot and its interval for each run"""
    names, runs = list(next(iter(scores.values()))), list(scores)
    at = np.arange(len(runs))
    with style.panels(
        "evaluate",
        path,
        (10, 2 + 0.5 * len(runs)),
        2,
        3,
        sharey=True,
        title=f"Scores of {n:,} images, their 95 % intervals, and (dashed) as many real images",
    ) as axes:
        for ax, name in zip(axes, names, strict=True):
            each = [scores[run][name] for run in runs]
            ax.axvline(each[0].baseline, color=style.GREY, linestyle="--", linewidth=1.2)
            ax.hlines(at, [s.low for s in each], [s.high for s in each], color=style.BLUE)
            ax.plot([s.value for s in each], at, "o", color=style.BLUE, markersize=5, clip_on=False)
            ax.set(
                title=f"{name} ({BETTER.get(name, 'more')} is better)",
                yticks=at,
                yticklabels=runs,
                ylim=(len(runs) - 0.5, -0.5),
            )
            if name in SCALE:
                ax.set_xscale(**SCALE[name])
                ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


if __name__ == "__main__":
    commandline.main(main)
