"""Diffusion models of digits: other schedules, predictions, loss weights and samplers.

diffusion_mnist.py shows one recipe on one page; here each part of it can be changed.

    python examples/diffusion_variants.py
    python examples/diffusion_variants.py --epochs 18         longer training
    python examples/diffusion_variants.py --predicts eps --schedule linear
                                                              as in Ho et al. (2020)
    python examples/diffusion_variants.py --resume --sampler ddim --steps 50
                                                              new samples from the trained model
    python examples/diffusion_variants.py --backend cupy      the same on a GPU

The run's folder, runs/diffusion_variants, holds samples.png; guidance.png, samples by guidance
weight; steps.png, by sampler and number of steps; denoising.gif, training.gif and curves.png.
inpaint_mnist.py and superres_mnist.py use the trained model with --model runs/diffusion_variants.
docs/diffusion.md explains the methods, docs/results.md has the scores. On two cores of an AMD EPYC
the run took eleven minutes, ten of them for training.

Reading order: `SAMPLERS`, `generate`; `main`, `learn`, `draw`. The loss and the loop are in
tinygen/diffusion/model.py, the samplers in tinygen/diffusion/samplers.py.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import numpy as np

from tinygen import data, diffusion, image, models, optim
from tinygen.diffusion import samplers
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 5, 64, 1e-3
WIDTH, TIMES = 48, 1000
DECAY, DROPPED = 0.999, 0.1  # EMA decay; fraction of labels withheld
STEPS, GUIDANCE = 20, 1.5
FRAMES, FILMED = 20, 40  # frames of the animation; images in each
SHOWN, SCORED = 100, 1000  # samples in samples.png; samples for the FID
GUIDED, COUNTS = (0.0, 1.0, 1.5, 3.0, 6.0), (3, 5, 10, 20, 50)  # weights, numbers of steps compared
QUICK = {"epochs": 1, "train": 256, "test_images": 140, "width": 8, "steps": 3}

SAMPLING = ("guidance", "sampler", "steps")  # may change when a run is resumed

SCHEDULES = {"cosine": diffusion.cosine, "linear": diffusion.linear}
WEIGHTS = {"min-snr": diffusion.min_snr, "simple": diffusion.simple, "snr": diffusion.snr}


# --- sampling -------------------------------------------------------------------------------------

SAMPLERS: dict[str, Any] = {
    "ancestral": samplers.ancestral,
    "ddim": samplers.ddim,
    "heun": samplers.heun,
    "multistep": samplers.multistep,
}


def generate(
    model: diffusion.Diffusion,
    n: int,
    shape: tuple[int, ...],
    args: Any,
    null: int | None,
    *,
    seed: int,
    **changed: Any,
) -> tuple[np.ndarray, np.ndarray | None]:
    """n images from 0 to 1, and their labels; `changed` options replace those of `args`"""
    options = {name: getattr(args, name) for name in SAMPLING} | changed
    rng = np.random.default_rng(seed)
    noise, labels = start(n, shape, null, rng)
    x = samplers.sample(
        guided(model, options["guidance"], null),
        noise,
        labels,
        steps=options["steps"],
        sampler=SAMPLERS[options["sampler"]],
        **({"rng": rng} if options["sampler"] == "ancestral" else {}),
    )
    return as_images(x), labels


def start(
    n: int, shape: tuple[int, ...], null: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Noise, and the labels of the images to make of it"""
    noise = rng.standard_normal((n, *shape), np.float32)
    return noise, None if null is None else np.arange(n) % null


def guided(model: diffusion.Diffusion, weight: float, null: int | None) -> diffusion.Diffusion:
    return model if null is None else samplers.guided(model, weight, null)


def as_images(x: np.ndarray) -> np.ndarray:
    """From [−1, 1] to [0, 1]"""
    return (x.clip(-1, 1) + 1) / 2


# --- the program ----------------------------------------------------------------------------------


def arguments() -> Any:
    parser = commandline.parser(
        __doc__,
        out="runs/diffusion_variants",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    add(
        "--predicts",
        choices=["eps", "x_0", "v"],
        default="v",
        help="prediction of the network: the noise, the image, or v (default: v)",
    )
    add(
        "--schedule",
        choices=list(SCHEDULES),
        default="cosine",
        help="noise schedule (default: cosine)",
    )
    add(
        "--weight",
        choices=list(WEIGHTS),
        default="simple",
        help="weight of the loss at each time (default: simple)",
    )
    add("--unconditional", action="store_true", help="do not condition the network on the digit")
    add(
        "--sampler",
        choices=list(SAMPLERS),
        default="multistep",
        help="sampler (default: multistep)",
    )
    add(
        "--steps", type=steps, default=STEPS, metavar="N", help=f"sampling steps (default: {STEPS})"
    )
    add(
        "--guidance",
        type=float,
        default=GUIDANCE,
        metavar="W",
        help=f"guidance weight (1 = no guidance, default: {GUIDANCE})",
    )
    add(
        "--width",
        type=commandline.at_least(1),
        default=WIDTH,
        help=f"channels of the U-Net's first level (default: {WIDTH})",
    )
    commandline.add_subsets(parser)
    return commandline.parse(parser, quick=QUICK)


def steps(text: str) -> int:
    n = commandline.at_least(2)(text)
    if n > TIMES:
        message = f"expected at most {TIMES}, the number of training times, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return n


def main() -> None:
    args = arguments()
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    args.unconditional |= train.labels is None
    shape, null = train.images.shape[1:], None
    if not args.unconditional:
        null = 1 + int(train.labels.max())  # the label "any digit"
    with Run(args.out, vars(args), resume=args.resume, free=SAMPLING) as run:
        net = models.small_unet(shape, args.width, null, rng=np.random.default_rng(args.seed))
        model = diffusion.Diffusion(net, SCHEDULES[args.schedule](TIMES), args.predicts, clip=1.0)
        learn(run, model, args, train, null)
        draw(run, model, shape, args, null)
        run.results(seconds=run.seconds, parameters=sum(p.size for p in model.parameters()))
        images = functools.partial(generate, model, shape=shape, args=args, null=null, seed=3)
        if verdict := judge(run, args, images, test.images, most=SCORED):
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


def learn(
    run: Run, model: diffusion.Diffusion, args: Any, train: data.Labelled, null: int | None
) -> None:
    """Train the model, and give it the moving average of its weights"""
    rng = np.random.default_rng(args.seed)
    batches = data.Batches(
        2 * train.images - 1,
        min(args.batch_size, len(train.images)),
        rng=rng,
        labels=None if null is None else train.labels,
        epochs=args.epochs,
        drop_last=True,
    )
    params, total = dict(model.network.named_parameters()), max(1, batches.steps or 0)
    rate = optim.warm_up(optim.cosine(args.lr, total), total // 50 + 1)
    adam, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
    film, every = image.Animation(FRAMES), max(1, total // FRAMES)
    run.keep(denoiser=model.network, adam=adam, ema=ema, batches=batches, film=film, rng=rng)
    loss = functools.partial(
        diffusion.denoising_loss, weight=WEIGHTS[args.weight], null=null, drop=DROPPED
    )
    for record in run.track(diffusion.train(model, batches, adam, rng=rng, ema=ema, loss=loss)):
        if record.step % every == 0 or record.step == 1:
            with ema.applied():
                frame, _ = generate(
                    model,
                    FILMED,
                    train.images.shape[1:],
                    args,
                    null,
                    seed=1,
                    guidance=1.0,
                    sampler="ddim",
                    steps=min(10, args.steps),
                )
            film.append(frame, f"step {record.step}")
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Denoising loss")
        film.save(run.path("training.gif"), title="Samples through training")
    ema.copy_to_params()


def draw(
    run: Run, model: diffusion.Diffusion, shape: tuple[int, ...], args: Any, null: int | None
) -> None:
    """All pictures; the rows of each comparison start from the same noise"""
    samples, _ = generate(model, SHOWN, shape, args, null, seed=2)
    image.grid(run.path("samples.png"), samples, columns=10, title="Samples")
    row = functools.partial(generate, model, 10, shape, args, null, seed=4)
    if null is not None:
        rows = {f"guidance {w:g}": row(guidance=w)[0] for w in GUIDED}
        title = "The same noise by guidance weight"
        image.strip(run.path("guidance.png"), rows, ends=False, title=title)
    counts = [n for n in COUNTS if n <= max(args.steps, 2) * 2.5]
    rows = {
        f"{name}, {n} steps": row(sampler=name, steps=n)[0] for name in SAMPLERS for n in counts
    }
    title = "The same noise by sampler and number of steps"
    image.strip(run.path("steps.png"), rows, ends=False, title=title)

    rng, film = np.random.default_rng(5), image.Animation(60)
    noise, labels = start(FILMED, shape, null, rng)
    film.append(as_images(noise), "noise")
    for step in samplers.ancestral(
        guided(model, args.guidance, null), noise, labels, rng=rng, steps=min(5 * args.steps, TIMES)
    ):
        film.append(as_images(step.x), f"t = {step.t:.0f}")
    film.save(run.path("denoising.gif"), title="From noise to images")


if __name__ == "__main__":
    commandline.main(main)
