"""Inpainting: a diffusion model trained on whole digits fills in missing parts of digits.

A diffusion model goes from noise to an image in many steps. After each step the known pixels are
inserted, with the noise of that time, and the model fits the rest to them. For a good fit each part
of the way is repeated several times (RePaint: Lugmayr et al. 2022). Different noise gives different
completions, which differ most where little is known.

    python examples/diffusion_mnist.py                      first: train the model
    python examples/inpaint_mnist.py
    python examples/inpaint_mnist.py --steps 100 --resample 10
    python examples/inpaint_mnist.py --model runs/my_digits

The run's folder, runs/inpaint_mnist, holds half.png, square.png and pixels.png, named after the
missing part, and half.gif. The accuracy of a classifier on the completions is printed; the model is
not given the labels.

Reading order: `masks`, `complete`; `main`, `draw`; `trained`, which opens the model's run. The
method is `repaint`, in tinygen/diffusion/editing.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinygen import data, diffusion, image, models, optim
from tinygen.autograd import to_numpy
from tinygen.diffusion import editing
from tinygen.metrics.classifier import SETS, pretrained
from tinygen.run import Run, checkpoint, commandline, settings_of

MODEL = Path("runs/diffusion_mnist")
UNTRAINED = {
    "data": "digits",
    "train": 20,
    "test_images": 20,
    "width": 8,
    "predicts": "v",
    "schedule": "cosine",
}  # settings of the model of --quick without --model
STEPS, RESAMPLE = 40, 4
COUNT, TIMES = 40, 3  # images; completions of each
SHOWN, FILMED, FRAMES = 10, 40, 100  # images in the pictures and in the animation; its frames
KNOWN = 0.25  # fraction of known pixels in the random mask
FREE = ("count", "model", "resample", "steps")  # may change when a run is resumed
QUICK = {"steps": 5, "resample": 2, "count": 10}


def masks(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Masks (H, W, 1) by name: 1 where a pixel is known, otherwise 0"""
    H, W, _ = shape
    half, square = np.zeros((H, W, 1), np.float32), np.ones((H, W, 1), np.float32)
    half[: H // 2] = 1
    square[H // 4 : H - H // 4, W // 4 : W - W // 4] = 0
    pixels = (rng.random((H, W, 1)) < KNOWN).astype(np.float32)
    return {"half": half, "square": square, "pixels": pixels}


def complete(
    model: diffusion.Diffusion,
    null: int | None,
    x: np.ndarray,
    mask: np.ndarray,
    args: Any,
    rng: np.random.Generator,
    film: image.Animation | None = None,
) -> np.ndarray:
    """A completion of each image x, from 0 to 1, given its pixels where the mask is 1"""
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
        help=f"run of diffusion_mnist.py or diffusion_variants.py whose model is used (default: "
        f"{MODEL}; with --quick an untrained model)",
    )
    add(
        "--steps",
        type=commandline.at_least(2),
        default=STEPS,
        metavar="N",
        help=f"sampling steps (default: {STEPS})",
    )
    add(
        "--resample",
        type=at_least_1,
        default=RESAMPLE,
        metavar="N",
        help=f"repetitions of each step (default: {RESAMPLE})",
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
        classifier = pretrained(source) if source in SETS else None
        rng = np.random.default_rng(args.seed)
        completions = []
        for name, mask in masks(x.shape[1:], rng).items():
            film = image.Animation(FRAMES, columns=SHOWN) if name == "half" else None
            x_hat = complete(model, null, np.tile(x, (TIMES, 1, 1, 1)), mask, args, rng, film)
            x_hat = x_hat.reshape(TIMES, *x.shape)
            completions.append(x_hat)
            if film is not None:
                film.save(run.path(f"{name}.gif"), fps=15, title="From noise to completions")
            draw(run, name, x[:SHOWN], mask, x_hat[:, :SHOWN])
            error, std = abs(mask * (x_hat - x)).max(), x_hat.std(axis=0)[:, mask[..., 0] == 0]
            print(
                f"{name}: largest error of a known pixel {error:.4f}; standard deviation of the "
                f"missing pixels over completions {std.mean():.3f}"
            )
            if classifier is not None:
                sets = {"completed": x_hat.reshape(-1, *x.shape[1:]), "masked": mask * x, "all": x}
                accuracy = {
                    k: float((classifier.labels(images) == np.resize(labels, len(images))).mean())
                    for k, images in sets.items()
                }
                print(
                    f"  classifier accuracy: completions {accuracy['completed']:.0%}, "
                    f"masked images {accuracy['masked']:.0%}, whole images {accuracy['all']:.0%}"
                )
                run.results(**{f"{name}_{k}": share for k, share in accuracy.items()})
        if args.samples:
            run.samples(np.concatenate(completions).reshape(-1, *x.shape[1:])[: args.samples])
        print(f"see {run.path('half.png')} and the other pictures there")


def draw(run: Run, name: str, x: np.ndarray, mask: np.ndarray, completions: np.ndarray) -> None:
    """In each column an image, its known pixels (the others grey), and its completions"""
    rows = {"image": x, "known": mask * x + (1 - mask) / 2}
    rows |= {f"completion {k}": row for k, row in enumerate(completions, 1)}
    image.compare(run.path(f"{name}.png"), rows, title="Held-out images, completed")


# --- the trained model ----------------------------------------------------------------------------


def trained(args: Any) -> tuple[diffusion.Diffusion, int | None, str, data.Labelled, data.Labelled]:
    """The model of the run `--model`, with averaged weights, its label "any digit", and its data:
    the name, training and held-out images"""
    settings, folder = UNTRAINED, Path(args.model or MODEL)
    if args.model or not args.quick:
        settings = settings_of(folder, "diffusion_mnist.py", "schedule", "predicts")
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
