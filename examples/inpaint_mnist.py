"""The missing part of a digit is filled in by a diffusion model that was trained on whole digits.

A diffusion model goes from noise to an image in many steps. After each step the known pixels are
put in, with the noise that belongs to that time, and the rest is drawn to fit. To fit well, each
stretch of the way is repeated several times (RePaint: Lugmayr et al. 2022). Other noise leads to
another completion; where little is known they differ much.

    python examples/diffusion_mnist.py                      first: train the model
    python examples/inpaint_mnist.py
    python examples/inpaint_mnist.py --steps 100 --resample 10
    python examples/inpaint_mnist.py --model runs/my_digits

The run's folder, runs/inpaint_mnist, holds half.png, square.png and pixels.png, by what is missing,
and half.gif. Printed is how often a classifier finds in a completion the digit that it was, which
the model is not given.

Reading order: `masks`, `completed`; `main`, `draw`; `trained`, which opens the model's run. The
method is `repaint`, in tinygen/diffusion/editing.py.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from tinygen import data, diffusion, image, models, optim
from tinygen.autograd import to_numpy
from tinygen.diffusion import editing
from tinygen.metrics import classifier
from tinygen.run import Run, RunError, checkpoint, commandline
from tinygen.run.folder import read_config

MODEL = Path("runs/diffusion_mnist")
UNTRAINED = {
    "data": "digits",
    "train": 20,
    "test_images": 20,
    "width": 8,
    "predicts": "v",
    "schedule": "cosine",
}  # of --quick, unless it names a model
STEPS, RESAMPLE = 40, 4
COUNT, TIMES = 40, 3  # images, and how often each is completed
SHOWN, FILMED, FRAMES = 10, 40, 100  # of them; of the animation
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
    model: diffusion.Diffusion,
    null: int | None,
    x: np.ndarray,
    mask: np.ndarray,
    args: Any,
    rng: np.random.Generator,
    film: image.Animation | None = None,
) -> np.ndarray:
    """A completion of each image x, from 0 to 1, of which the pixels under the mask are known"""
    noise = rng.standard_normal(x.shape, np.float32)
    known, rows = 2 * x - 1, np.broadcast_to(mask, (len(x), *mask.shape))
    any_digit = None if null is None else np.full(len(x), null)
    for step in editing.repaint(
        model, noise, known, rows, any_digit, rng=rng, steps=args.steps, resample=args.resample
    ):
        if film is not None:
            film.append(as_images(step.x[:FILMED]), f"t = {step.t:.0f}")
    return as_images(to_numpy(step.x))


def as_images(x: Any) -> Any:
    """From [−1, 1] to [0, 1]"""
    return (x.clip(-1, 1) + 1) / 2


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/inpaint_mnist", data=None)
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add(
        "--model",
        type=Path,
        metavar="RUN",
        help=f"a run of diffusion_mnist.py or diffusion_variants.py, whose model is used (default: "
        f"{MODEL}; with --quick a model without training)",
    )
    add(
        "--steps",
        type=commandline.at_least(2),
        default=STEPS,
        metavar="N",
        help=f"from noise to an image (default: {STEPS})",
    )
    add(
        "--resample",
        type=at_least_1,
        default=RESAMPLE,
        metavar="N",
        help=f"how often each step is made (default: {RESAMPLE})",
    )
    add(
        "--count",
        type=at_least_1,
        default=COUNT,
        metavar="N",
        help=f"held-out images to complete (default: {COUNT})",
    )
    args = commandline.parse(parser, quick=QUICK)
    model, null, source, _, test = trained(args)
    chosen = np.random.default_rng(0).permutation(len(test.images))[: args.count]
    x, labels = test.images[chosen], None if test.labels is None else test.labels[chosen]
    with Run(args.out, vars(args), resume=args.resume, free=FREE) as run:
        network = classifier.pretrained(source) if source in classifier.SETS else None
        rng = np.random.default_rng(args.seed)
        everything = []
        for name, mask in masks(x.shape[1:], rng).items():
            film = image.Animation(FRAMES, columns=SHOWN) if name == "half" else None
            found = completed(model, null, np.tile(x, (TIMES, 1, 1, 1)), mask, args, rng, film)
            found = found.reshape(TIMES, *x.shape)
            everything.append(found)
            if film is not None:
                film.save(run.path(f"{name}.gif"), fps=15, title="From noise, to fit what is known")
            draw(run, name, x[:SHOWN], mask, found[:, :SHOWN])
            kept, differ = abs(mask * (found - x)).max(), found.std(axis=0)[:, mask[..., 0] == 0]
            print(
                f"{name}: what is known is kept to {kept:.4f}, the rest differs by "
                f"{differ.mean():.3f} from one completion to the next"
            )
            if network is not None:
                sets = {"completions": found.reshape(-1, *x.shape[1:]), "alone": mask * x, "all": x}
                right = {
                    k: float((network.labels(images) == np.resize(labels, len(images))).mean())
                    for k, images in sets.items()
                }
                print(
                    f"  classified correctly: {right['completions']:.0%} of the completions, "
                    f"{right['alone']:.0%} of the images with empty holes, {right['all']:.0%} of "
                    f"the whole images"
                )
                run.results(**{f"{name}_{k}": share for k, share in right.items()})
        if args.samples:
            run.samples(np.concatenate(everything).reshape(-1, *x.shape[1:])[: args.samples])
        print(f"see {run.path('half.png')} and the other pictures there")


def draw(run: Run, name: str, x: np.ndarray, mask: np.ndarray, found: np.ndarray) -> None:
    """In each column an image, what is known of it, grey where nothing is, and its completions"""
    rows = {"image": x, "known": mask * x + (1 - mask) / 2}
    rows |= {f"completion {k}": each for k, each in enumerate(found, 1)}
    image.compare(run.path(f"{name}.png"), rows, title="Held-out images, completed")


# --- the trained model ----------------------------------------------------------------------------


def trained(args: Any) -> tuple[diffusion.Diffusion, int | None, str, data.Labelled, data.Labelled]:
    """The model of the run `--model`, with the average of its weights, its label "any digit", and
    the data that it learned from: the name, training and held-out images"""
    settings, folder = UNTRAINED, Path(args.model or MODEL)
    if args.model or not args.quick:
        if not (folder / "checkpoint.npz").exists():
            raise RunError(
                f"there is no trained model in {folder}; this makes one:\n  python "
                f"examples/diffusion_mnist.py --out {shlex.quote(str(folder))}"
            )
        settings = read_config(folder)["settings"]
        if "schedule" not in settings:
            raise RunError(
                f"expected {folder} to be a run of diffusion_mnist.py or "
                f"diffusion_variants.py, got another program's"
            )
    train, test = data.load(
        settings["data"], train=settings["train"], test=settings["test_images"], size=28
    )
    labels = np.zeros(1, int) if train.labels is None else train.labels
    null = None if settings.get("unconditional") else 1 + int(labels.max())
    net = models.small_unet(
        train.images.shape[1:], settings["width"], null, rng=np.random.default_rng(0)
    )
    if settings is not UNTRAINED:
        average = optim.EMA(dict(net.named_parameters()))
        checkpoint.load(folder / "checkpoint.npz", {"ema": average}, partly=True)
        average.copy_to_params()
    schedule = getattr(diffusion, settings["schedule"])(1000)
    model = diffusion.Diffusion(net, schedule, settings["predicts"], clip=1.0)
    return model, null, settings["data"], train, test


if __name__ == "__main__":
    commandline.main(main)
