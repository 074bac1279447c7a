"""What is missing of a digit is drawn anew, by a model that learnt only to draw whole ones.

A diffusion model goes from noise to an image in many steps. After each of them what is known of the
digit is put in, with as much noise as belongs there, and the rest is drawn to fit. For it to fit
well each stretch of the way is gone several times. (RePaint: Lugmayr et al. 2022) From other noise
comes another completion; where little is known they differ much.

    python examples/diffusion_mnist.py                      first: learn to draw digits
    python examples/inpaint_mnist.py
    python examples/inpaint_mnist.py --steps 100 --resample 10
    python examples/inpaint_mnist.py --model runs/my_digits

In runs/inpaint_mnist are then half.png, square.png and pixels.png, by what is missing, and
half.gif. Printed is how often a completion is read as the digit that it was, which the model is not
told.

Reading order: `masks`, `completed`; `main`, `draw`; `trained`, how a trained model is loaded. The
method is `repaint`, in tinygen/diffusion/editing.py.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import diffusion_mnist as base
import numpy as np

from tinygen import data, diffusion, image, optim
from tinygen.autograd import to_numpy
from tinygen.diffusion import editing
from tinygen.metrics import classifier
from tinygen.metrics.report import SETS
from tinygen.run import Run, RunError, checkpoint, commandline
from tinygen.run.folder import read_config

MODEL = Path("runs/diffusion_mnist")
STEPS, RESAMPLE = 40, 4
COUNT, TIMES = 40, 3  # images, and how often each is completed
SHOWN, FRAMES = 10, 100  # of them, and of the animation
KNOWN = 0.25  # the share of pixels that are known where they are chosen at random
FREE = ("count", "model", "resample", "steps")  # what may change when a run is resumed
QUICK = {"steps": 5, "resample": 2, "count": 10}


def masks(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What is known of an image: 1 there, else 0, (H, W, 1)"""
    H, W, _ = shape
    half, square = np.zeros((H, W, 1), np.float32), np.ones((H, W, 1), np.float32)
    half[: H // 2] = 1
    square[H // 4 : H - H // 4, W // 4 : W - W // 4] = 0
    pixels = (rng.random((H, W, 1)) < KNOWN).astype(np.float32)
    return {"half": half, "square": square, "pixels": pixels}


def completed(
    learnt: Learnt, x: np.ndarray, mask: np.ndarray, args: Any, rng: np.random.Generator,
    film: image.Animation | None = None,
) -> np.ndarray:  # fmt: skip
    """A completion of each image x, from 0 to 1, of which the pixels under the mask are known"""
    noise = rng.standard_normal(x.shape, np.float32)
    known, rows = 2 * x - 1, np.broadcast_to(mask, (len(x), *mask.shape))
    steps = editing.repaint(learnt.model, noise, known, rows, learnt.any_digit(len(x)), rng=rng,
                            steps=args.steps, resample=args.resample)  # fmt: skip
    for step in steps:
        if film is not None:
            film.append(base.as_images(step.x[: base.FILMED]), f"t = {step.t:.0f}")
    return base.as_images(to_numpy(step.x))


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/inpaint_mnist", data=None)
    add_options(parser, STEPS, RESAMPLE, COUNT)
    args = commandline.parse(parser, quick=QUICK)
    learnt = trained(args)
    with Run(args.out, vars(args), resume=args.resume, free=FREE) as run:
        learnt = learnt or trained_little(run, args)
        x, labels = learnt.held_out(args.count)
        reader = classifier.pretrained(learnt.data) if learnt.data in SETS else None
        rng = np.random.default_rng(args.seed)
        everything = []
        for name, mask in masks(x.shape[1:], rng).items():
            film = image.Animation(FRAMES, columns=SHOWN) if name == "half" else None
            found = completed(learnt, np.tile(x, (TIMES, 1, 1, 1)), mask, args, rng, film)
            found = found.reshape(TIMES, *x.shape)
            everything.append(found)
            if film is not None:
                film.save(run.path(f"{name}.gif"), fps=15, title="From noise, to fit what is known")
            draw(run, name, x[:SHOWN], mask, found[:, :SHOWN])
            kept, differ = abs(mask * (found - x)).max(), found.std(axis=0)[:, mask[..., 0] == 0]
            print(f"{name}: what is known is kept to {kept:.4f}, the rest differs by "
                  f"{differ.mean():.3f} from one completion to the next")  # fmt: skip
            if reader is not None:
                sets = {"completions": found.reshape(-1, *x.shape[1:]), "alone": mask * x, "all": x}
                right = {k: float((reader.labels(images) == np.resize(labels, len(images))).mean())
                         for k, images in sets.items()}  # fmt: skip
                print(f"  {right['completions']:.0%} of them are read as what they were; with "
                      f"nothing in the holes {right['alone']:.0%} are, with all "
                      f"{right['all']:.0%}")  # fmt: skip
                run.results(**{f"{name}_{k}": share for k, share in right.items()})
        if args.samples:
            run.samples(np.concatenate(everything).reshape(-1, *x.shape[1:])[: args.samples])
        print(f"see {run.path('half.png')} and the other pictures there")


def draw(run: Run, name: str, x: np.ndarray, mask: np.ndarray, found: np.ndarray) -> None:
    """In each column an image, what is known of it, grey where nothing is, and its completions"""
    rows = {"image": x, "known": mask * x + (1 - mask) / 2}
    rows |= {f"completion {k}": each for k, each in enumerate(found, 1)}
    image.compare(run.path(f"{name}.png"), rows, title="Held-out images, completed")


# --- a trained model, as examples/superres_mnist.py wants one too ---------------------------------


class Learnt(NamedTuple):
    """A model, its number for "any digit", and the images that it learnt from, with others"""

    model: diffusion.Diffusion
    null: int | None
    data: str
    train: data.Labelled
    test: data.Labelled

    def any_digit(self, n: int) -> np.ndarray | None:
        """What to tell the model for n images, which digit they are being unknown"""
        return None if self.null is None else np.full(n, self.null)

    def held_out(self, n: int) -> tuple[np.ndarray, np.ndarray | None]:
        """n of the images to be judged by, at random, and what they are"""
        x, labels = self.test
        some = np.random.default_rng(0).permutation(len(x))[:n]
        return x[some], None if labels is None else labels[some]


def add_options(parser: Any, steps: int, resample: int, count: int) -> None:
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add("--model", type=Path, metavar="RUN",
        help=f"a run of diffusion_mnist.py, whose model is taken (default: {MODEL}; with --quick "
             f"one is trained here, for seconds)")  # fmt: skip
    add("--steps", type=commandline.at_least(2), default=steps, metavar="N",
        help=f"from noise to an image (default: {steps})")  # fmt: skip
    add("--resample", type=at_least_1, default=resample, metavar="N",
        help=f"how often each is gone (default: {resample})")  # fmt: skip
    add("--count", type=at_least_1, default=count, metavar="N",
        help=f"of held-out images to work on (default: {count})")  # fmt: skip


def trained(args: Any) -> Learnt | None:
    """The model of the run `--model`; none yet for `--quick`, unless it is named"""
    if args.quick and not args.model:
        return None
    folder = Path(args.model or MODEL)
    try:
        settings = Namespace(**read_config(folder)["settings"])
        _, arrays = checkpoint.read(folder / "checkpoint.npz")
    except (FileNotFoundError, RunError):
        raise RunError(f"there is no trained model in {folder}; this makes one:\n  python "
                       f"examples/diffusion_mnist.py --out {shlex.quote(str(folder))}"
                       ) from None  # fmt: skip
    if not {"predicts", "schedule", "unconditional", "width"} <= set(vars(settings)):
        raise RunError(f"expected {folder} to be a run of diffusion_mnist.py, got another "
                       f"program's")  # fmt: skip
    train, test = base.loaded(settings)
    model, null = base.diffusion_model(settings, train)
    average = optim.EMA(dict(model.named_parameters()))
    checkpoint.put(average, {name.removeprefix("ema/"): array for name, array in arrays.items()
                             if name.startswith("ema/")})  # fmt: skip
    base.settle(model, average)
    return Learnt(model, null, settings.data, train, test)


def trained_little(run: Run, args: Any) -> Learnt:
    """A model of which nothing can be expected, in a run inside of this one"""
    little = base.arguments(["--quick", "--out", str(run.path("model"))])
    resume = args.resume and (little.out / "config.json").exists()
    with Run(little.out, vars(little), resume=resume) as first:
        train, test = base.loaded(little)
        model, null = base.learn_images(first, little, train)
    return Learnt(model, null, little.data, train, test)


if __name__ == "__main__":
    commandline.main(main)
