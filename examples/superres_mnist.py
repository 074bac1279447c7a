"""Super-resolution of digits from 7 × 7 to 28 × 28 pixels, by an unconditional diffusion model.

A pixel of the small image is the mean of 4 × 4 pixels. Many large images fit these means, and few
of them are digits, so a model of digits must choose. At each step from noise to an image, the
prediction of diffusion_mnist.py's model is projected onto the images that fit the small one exactly
(DDNM: Wang et al. 2023). Different noise gives a different image.

With --conditional another network is trained, which sees the small image beside the noise (Saharia
et al. 2022). It serves this one task only, and nothing makes its images fit exactly.

    python examples/diffusion_mnist.py                      first: train the model
    python examples/superres_mnist.py
    python examples/superres_mnist.py --factor 2            from 14 × 14
    python examples/superres_mnist.py --conditional

The run's folder, runs/superres_mnist, holds enlarged.png, enlarging.gif and, for the conditional
network, training.gif and curves.png. The program prints the peak signal-to-noise ratio (PSNR), the
RMS difference between the small image and the large one downsampled, and a classifier's accuracy.

Reading order: `ddnm`; `learn_conditional`, `conditional`; `main`, `measure`; `trained`, which opens
the model's run. The methods, `super_resolve` and `Beside`, are in tinygen/diffusion/editing.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinygen import data, diffusion, image, models, optim
from tinygen.autograd import to_numpy
from tinygen.diffusion import editing, samplers
from tinygen.metrics.classifier import SETS, pretrained
from tinygen.run import Run, checkpoint, commandline, settings_of

STEPS, RESAMPLE, COUNT = 50, 2, 50
CONDITIONAL_STEPS = 20  # of `multistep`, with the conditional network
TIMES = 3  # large images per small image
SHOWN, FILMED, FRAMES = 10, 40, 60
EPOCHS, BATCH_SIZE, LEARNING_RATE, WIDTH, DECAY = 5, 64, 1e-3, 48, 0.999  # with --conditional
MODEL = Path("runs/diffusion_mnist")
UNTRAINED = {
    "data": "digits",
    "train": 256,
    "test_images": 20,
    "width": 8,
    "predicts": "v",
    "schedule": "cosine",
}  # settings of the model of --quick without --model
FREE = ("conditional", "count", "model", "resample", "steps")  # may change when a run is resumed
QUICK = {"steps": 5, "resample": 2, "count": 10, "epochs": 1, "width": 8, "conditional": True}


# --- DDNM, with an unconditional model ------------------------------------------------------------


def ddnm(
    model: diffusion.Diffusion,
    null: int | None,
    small: np.ndarray,
    args: Any,
    rng: np.random.Generator,
    film: image.Animation | None = None,
) -> np.ndarray:
    """For each small image a large one that fits; all from 0 to 1, to which values are clipped"""
    N, h, w, C = small.shape
    noise = rng.standard_normal((N, h * args.factor, w * args.factor, C), np.float32)
    any_digit = None if null is None else np.full(N, null)
    for step in editing.super_resolve(
        model, noise, 2 * small - 1, any_digit, rng=rng, steps=args.steps, resample=args.resample
    ):
        if film is not None:
            film.append(as_images(step.x[:FILMED]), f"t = {step.t:.0f}")
    return as_images(to_numpy(step.x))


def as_images(x: Any) -> Any:
    """From [−1, 1] to [0, 1]"""
    return (x.clip(-1, 1) + 1) / 2


# --- a conditional model --------------------------------------------------------------------------


def learn_conditional(
    run: Run, args: Any, images: np.ndarray, shown: np.ndarray
) -> diffusion.Diffusion:
    """A U-Net whose input channels are half noise, half the enlarged small image

    `shown` are the small images of the animation.
    """
    H, W, C = images.shape[1:]
    rng = np.random.default_rng(args.seed)
    net = editing.Beside(models.small_unet((H, W, 2 * C), args.width, rng=rng))
    model = diffusion.Diffusion(net, diffusion.cosine(1000), "v", clip=1.0)
    batches = data.Batches(
        2 * images - 1,
        min(args.batch_size, len(images)),
        rng=rng,
        epochs=args.epochs,
        drop_last=True,
    )
    params, total = dict(model.named_parameters()), max(1, batches.steps or 0)
    rate = optim.warm_up(optim.cosine(args.lr, total), total // 50 + 1)
    adam, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
    film, every = image.Animation(20), max(1, total // 20)
    run.keep(model=model, adam=adam, ema=ema, batches=batches, film=film, rng=rng)

    def loss(model: Any, x: Any, _: Any, *, rng: np.random.Generator) -> diffusion.Terms:
        small = editing.downsample(x.data, args.factor)
        return diffusion.denoising_loss(model, x, small, rng=rng, weight=diffusion.min_snr)

    for record in run.track(diffusion.train(model, batches, adam, rng=rng, ema=ema, loss=loss)):
        if record.step % every == 0 or record.step == 1:
            with ema.applied():
                frame = conditional(model, shown, args, np.random.default_rng(1))
            film.append(frame, f"step {record.step}")
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Denoising loss")
        film.save(run.path("training.gif"), title="Samples through training")
    ema.copy_to_params()
    return model


def conditional(
    model: diffusion.Diffusion, small: np.ndarray, args: Any, rng: np.random.Generator
) -> np.ndarray:
    """For each small image a large one, all from 0 to 1"""
    N, h, w, C = small.shape
    noise = rng.standard_normal((N, h * args.factor, w * args.factor, C), np.float32)
    steps = min(CONDITIONAL_STEPS, args.steps)
    return as_images(samplers.sample(model, noise, 2 * small - 1, steps=steps))


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/superres_mnist",
        data=None,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
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
        help=f"held-out images to enlarge (default: {COUNT})",
    )
    add(
        "--factor",
        type=int,
        choices=[2, 4, 7],
        default=4,
        help="enlargement of each side (default: 4)",
    )
    add("--conditional", action="store_true", help="also train a network that sees the small image")
    add(
        "--width",
        type=at_least_1,
        default=WIDTH,
        help=f"channels of that U-Net's first level (default: {WIDTH})",
    )
    args = commandline.parse(parser, quick=QUICK)
    model, null, source, train, test = trained(args)
    chosen = np.random.default_rng(0).permutation(len(test.images))[: args.count]
    x, labels = test.images[chosen], None if test.labels is None else test.labels[chosen]
    with Run(args.out, vars(args), resume=args.resume, free=FREE) as run:
        small = editing.downsample(x, args.factor)
        many, rng = np.tile(small, (TIMES, 1, 1, 1)), np.random.default_rng(args.seed)
        side, film = f"{small.shape[1]} × {small.shape[2]}", image.Animation(FRAMES, columns=SHOWN)
        sets = {
            f"{side} pixels": small.repeat(args.factor, axis=1).repeat(args.factor, axis=2),
            "bilinear": data.resize(small, x.shape[1:3]),
            "DDNM": ddnm(model, null, many, args, rng, film),
        }
        if args.conditional:
            second = learn_conditional(run, args, train.images, small[:FILMED])
            sets["conditional"] = conditional(second, many, args, rng)

        film.save(run.path("enlarging.gif"), fps=15, title="From noise to images that fit")
        rows = {}
        for name, large in sets.items():
            for k, part in enumerate(np.split(large, len(large) // len(x)), 1):
                rows[name if len(large) == len(x) else f"{name}, {k}"] = part[:SHOWN]
        image.compare(
            run.path("enlarged.png"),
            rows | {"original": x[:SHOWN]},
            title=f"Held-out images, from {side} pixels",
        )
        classifier = pretrained(source) if source in SETS else None
        print(f"{'':16}{'PSNR':>8}  RMS difference  accuracy")
        for name, large in sets.items():
            scores = measure(large, x, labels, small, classifier)
            run.results(**{f"{name}, {k}": score for k, score in scores.items()})
            print(
                f"{name:16}{scores['psnr']:5.1f} dB  {scores['rms_difference']:14.4f}"
                + (f"{scores['accuracy']:10.0%}" if "accuracy" in scores else "")
            )
        if classifier is not None:
            print(f"accuracy on the originals: {(classifier.labels(x) == labels).mean():.0%}")
        if args.samples:
            run.samples(sets["DDNM"][: args.samples])
        print(f"see {run.path('enlarged.png')} and the other pictures there")


def measure(
    large: np.ndarray, x: np.ndarray, labels: np.ndarray | None, small: np.ndarray, classifier: Any
) -> dict[str, float]:
    """Scores of large images, one or more for each original x

    `psnr` is 10 log₁₀ 1/mse in decibels, a mean over images; `rms_difference` that of the large
    images, downsampled, from the small ones; `accuracy` the classifier's.
    """
    original, given = np.resize(x, large.shape), np.resize(small, (len(large), *small.shape[1:]))
    mse = ((large - original) ** 2).mean(axis=(1, 2, 3))
    difference = editing.downsample(large, x.shape[1] // small.shape[1]) - given
    scores = {"psnr": float((-10 * np.log10(mse)).mean())}
    scores["rms_difference"] = float((difference**2).mean() ** 0.5)
    if classifier is not None:
        correct = classifier.labels(large.clip(0, 1)) == np.resize(labels, len(large))
        scores["accuracy"] = float(correct.mean())
    return scores


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
