"""A diffusion model learns to take noise off digits, and so to make them of nothing but noise.

A U-Net is shown digits with noise, a little or much of it, and guesses what was added; an average
of its weights is what draws. To be quick on a processor it sees each 2 × 2 pixels as one of four
channels. It is told the digit, but not always, and so it can be guided to one.

    python examples/diffusion_mnist.py
    python examples/diffusion_mnist.py --epochs 18            for longer
    python examples/diffusion_mnist.py --predicts eps --schedule linear
                                                              as Ho et al. (2020) had it
    python examples/diffusion_mnist.py --resume --sampler ddim --steps 50
                                                              drawn anew from what was learnt
    python examples/diffusion_mnist.py --backend cupy         the same on a GPU

In runs/diffusion_mnist are then samples.png, guidance.png, digits by how strongly they are guided,
steps.png, by sampler and number of steps, denoising.gif, from noise to digits, training.gif and
curves.png. examples/inpaint_mnist.py and superres_mnist.py use what was learnt here.
docs/diffusion.md explains it. On two cores of an AMD EPYC it took eleven minutes, ten of them for
training; with seed 0 the FID of 1,000 samples was then 2.5 (of as many real images 0.5).

Reading order: `network`, `diffusion_model`; `SAMPLERS`, `drawn`; `main`, `learn`, `draw`. The loss
and the loop are in tinygen/diffusion/model.py, the samplers in tinygen/diffusion/samplers.py.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from tinygen import data, diffusion, image, models, nn, optim
from tinygen.diffusion import samplers
from tinygen.metrics.report import judge
from tinygen.run import Run, RunError, commandline
from tinygen.run.folder import read_config

EPOCHS, BATCH_SIZE, LEARNING_RATE = 5, 64, 1e-3
WIDTH, LEVELS, FOLDED, TIMES = 48, (1, 2), 2, 1000
DECAY, DROPPED = 0.999, 0.1  # of the average; the share of labels that are withheld
STEPS, GUIDANCE = 20, 1.5
FRAMES, FILMED = 20, 40  # of the animation, and how many images it shows
SHOWN, JUDGED = 100, 1000  # samples that are shown, and at most judged: drawing takes long
GUIDED, COUNTS = (0.0, 1.0, 1.5, 3.0, 6.0), (3, 5, 10, 20, 50)  # what is compared
QUICK = {"epochs": 1, "train": 256, "test_images": 140, "width": 8, "steps": 3}

DRAWING = ("guidance", "sampler", "steps")  # what may change when a run is resumed

SCHEDULES = {"cosine": diffusion.cosine, "linear": diffusion.linear}
WEIGHTS = {"min-snr": diffusion.min_snr, "simple": diffusion.simple, "snr": diffusion.snr}


# --- the model ------------------------------------------------------------------------------------


def network(
    shape: tuple[int, ...], width: int, classes: int | None, rng: np.random.Generator
) -> nn.Module:
    """A U-Net of two levels, which attends on the lower, for images that are folded once."""
    H, W, C = shape[0] // FOLDED, shape[1] // FOLDED, shape[2] * FOLDED**2
    unet = models.UNet((H, W, C), width, LEVELS, attention_at=(H // 2,), classes=classes, rng=rng)
    return models.Folded(unet, FOLDED)


def diffusion_model(args: Any, train: data.Labelled) -> tuple[diffusion.Diffusion, int | None]:
    """A new model, and the number that it is told for "any digit" """
    null = None if args.unconditional or train.labels is None else 1 + int(train.labels.max())
    net = network(train.images.shape[1:], args.width, null, np.random.default_rng(args.seed))
    return diffusion.Diffusion(net, SCHEDULES[args.schedule](TIMES), args.predicts, clip=1.0), null


# --- how it draws ---------------------------------------------------------------------------------

SAMPLERS: dict[str, Callable[..., Iterator[samplers.Step]]] = {
    "ancestral": samplers.ancestral,
    "ddim": samplers.ddim,
    "heun": samplers.heun,
    "multistep": samplers.multistep,
}


def steps_of(
    model: diffusion.Diffusion, noise: np.ndarray, labels: np.ndarray | None, sampler: str,
    steps: int, guidance: float, null: int | None, rng: np.random.Generator,
) -> Iterator[samplers.Step]:  # fmt: skip
    """A sampler's steps from this noise, guided if there are labels."""
    if labels is not None and null is not None:
        model = samplers.guided(model, guidance, null)
    options = {"rng": rng} if sampler == "ancestral" else {}
    return SAMPLERS[sampler](model, noise, labels, steps=steps, **options)


def as_images(x: np.ndarray) -> np.ndarray:
    """From [−1, 1] to [0, 1]"""
    return (x.clip(-1, 1) + 1) / 2


def drawn(
    model: diffusion.Diffusion, n: int, shape: tuple[int, ...], args: Any, null: int | None, *,
    seed: int, size: int = 250, finish: Callable[[Any], np.ndarray] = as_images, **changed: Any,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """n images from 0 to 1, and their labels: as `args` say, but for what is `changed`"""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, *shape), np.float32)
    labels = None if null is None else np.arange(n) % null
    how = {"sampler": args.sampler, "steps": args.steps, "guidance": args.guidance} | changed
    parts = []
    for i in range(0, n, size):
        some = slice(i, i + size)
        told = None if labels is None else labels[some]
        parts.append(samplers.last(steps_of(model, noise[some], told, null=null, rng=rng, **how)))
    return finish(np.concatenate(parts)), labels


# --- the program ----------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None = None) -> Any:
    parser = commandline.parser(__doc__, out="runs/diffusion_mnist", epochs=EPOCHS,
                                batch_size=BATCH_SIZE, lr=LEARNING_RATE)  # fmt: skip
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add("--predicts", choices=diffusion.PREDICTIONS, default="v",
        help="what the network guesses: the noise, the image, or v (default: v)")  # fmt: skip
    add("--schedule", choices=list(SCHEDULES), default="cosine",
        help="how noise is added (default: cosine)")  # fmt: skip
    add("--weight", choices=list(WEIGHTS), default="simple",
        help="of the error at each time (default: simple)")  # fmt: skip
    add("--unconditional", action="store_true", help="do not tell the network the digit")
    add_drawing(parser)
    add("--width", type=at_least_1, default=WIDTH,
        help=f"channels of the first level (default: {WIDTH})")  # fmt: skip
    add("--train", type=at_least_1, metavar="N", help="learn from so many images at most")
    add("--test-images", type=at_least_1, metavar="N", help="judge by so many at most")
    return commandline.parse(parser, argv, quick=QUICK)


def add_drawing(parser: Any) -> None:
    """The options of how samples are drawn."""

    def steps(text: str) -> int:
        n = commandline.at_least(2)(text)
        if n > TIMES:
            raise argparse.ArgumentTypeError(f"expected at most {TIMES}, the times in training, "
                                             f"got {text!r}")  # fmt: skip
        return n

    add = parser.add_argument
    add("--sampler", choices=list(SAMPLERS), default="multistep",
        help="how samples are drawn (default: multistep)")  # fmt: skip
    add("--steps", type=steps, default=STEPS, metavar="N",
        help=f"of the sampler (default: {STEPS})")  # fmt: skip
    add("--guidance", type=float, default=GUIDANCE, metavar="W",
        help=f"how strongly samples are drawn to their class; 1 is not at all more than the "
             f"network says (default: {GUIDANCE})")  # fmt: skip


def loaded(args: Any) -> tuple[data.Labelled, data.Labelled]:
    return data.load(args.data, train=args.train, test=args.test_images, size=28)


def main() -> None:
    args = arguments()
    train, test = loaded(args)
    with Run(args.out, vars(args), resume=args.resume, free=DRAWING) as run:
        model, null = learn_images(run, args, train)
        shape = train.images.shape[1:]
        draw(run, model, shape, args, null)
        run.results(seconds=run.seconds, parameters=sum(p.size for p in model.parameters()))
        verdict = judge(run, args, lambda n: drawn(model, n, shape, args, null, seed=3),
                        test.images, most=JUDGED)  # fmt: skip
        if verdict:
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


def learn_images(
    run: Run, args: Any, train: data.Labelled
) -> tuple[diffusion.Diffusion, int | None]:
    """The trained model, and its number for "any digit" """
    model, null = diffusion_model(args, train)
    shape, labels = train.images.shape[1:], None if null is None else train.labels
    rng = np.random.default_rng(args.seed)
    batches = data.Batches(2 * train.images - 1, min(args.batch_size, len(train.images)), rng=rng,
                           labels=labels, epochs=args.epochs, drop_last=True)  # fmt: skip
    loss = functools.partial(diffusion.denoising_loss, weight=WEIGHTS[args.weight], null=null,
                             drop=DROPPED)  # fmt: skip
    frame = functools.partial(drawn, model, FILMED, shape, args, null, seed=1, guidance=1.0,
                              sampler="ddim", steps=min(10, args.steps))  # fmt: skip
    learn(run, model, batches, args.lr, rng, loss=loss, frame=lambda: frame()[0])
    return model, null


def learn(
    run: Run, model: nn.Module, batches: data.Batches, lr: float, rng: np.random.Generator, *,
    loss: Callable[..., Any], frame: Callable[[], np.ndarray],
    train: Callable[..., Iterator[Any]] = diffusion.train,
) -> None:  # fmt: skip
    """Train the model, and put the average of its weights into it; a `frame` is what that draws."""
    params, total = dict(model.named_parameters()), max(1, batches.steps or 1)
    rate = optim.warm_up(optim.cosine(lr, total), total // 50 + 1)
    optimizer, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
    film = image.Animation(FRAMES)
    run.keep(model=model, optimizer=optimizer, ema=ema, batches=batches, film=film, rng=rng)
    for record in run.track(train(model, batches, optimizer, rng=rng, ema=ema, loss=loss)):
        if record.step % max(1, total // FRAMES) == 0 or record.step == 1:
            with ema.applied():
                film.append(frame(), f"step {record.step}")
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="The error")
    if len(film):
        film.save(run.path("training.gif"), title="Samples through training")
    settle(model, ema)


def settle(model: nn.Module, ema: optim.EMA) -> None:
    """Make the averages the model's parameters, for good; in the checkpoint there are both."""
    with ema.applied():
        averages = model.state_dict()
    model.load_state_dict(averages)


def draw(
    run: Run, model: diffusion.Diffusion, shape: tuple[int, ...], args: Any, null: int | None,
    finish: Callable[[Any], np.ndarray] = as_images,
) -> None:  # fmt: skip
    """All pictures; each from the same noise, so that one sees what else differs."""
    samples, _ = drawn(model, SHOWN, shape, args, null, seed=2, finish=finish)
    image.grid(run.path("samples.png"), samples, columns=10, title="Samples")
    row = functools.partial(drawn, model, 10, shape, args, null, seed=4, finish=finish)
    if null is not None:
        rows = {f"guidance {w:g}": row(guidance=w)[0] for w in GUIDED}
        image.strip(run.path("guidance.png"), rows, ends=False, title="The same noise, guided")
    counts = [n for n in COUNTS if n <= max(args.steps, 2) * 2.5]
    rows = {f"{name}, {n} steps": row(sampler=name, steps=n)[0]
            for name in SAMPLERS for n in counts}  # fmt: skip
    image.strip(run.path("steps.png"), rows, ends=False, title="The same noise, in other steps")

    noise = np.random.default_rng(5).standard_normal((FILMED, *shape), np.float32)
    labels = None if null is None else np.arange(FILMED) % null
    film = image.Animation(60)
    film.append(finish(noise), "noise")
    for step in steps_of(model, noise, labels, "ancestral", min(5 * args.steps, TIMES),
                         args.guidance, null, np.random.default_rng(6)):  # fmt: skip
        film.append(finish(step.x), f"t = {step.t:.0f}")
    film.save(run.path("denoising.gif"), title="From noise to images")


# --- for examples with two stages -----------------------------------------------------------------


def second_run(
    run: Run, args: Any, name: str, *, free: Collection[str] = DRAWING
) -> Run:  # fmt: skip
    """The run of a second stage, in a folder of its own. Resumed, it goes on if what the first
    stage has learnt is still the same, and else begins again."""
    folder, resume = run.path(name), args.resume
    if resume:
        try:
            resume = read_config(folder)["settings"]["after"] == run.step
        except (KeyError, RunError):
            resume = False
    return Run(folder, vars(args) | {"out": folder, "after": run.step}, resume=resume, free=free)


if __name__ == "__main__":
    commandline.main(main)
