"""Flow matching of digits in all its variants: solvers, minibatch optimal transport, reflow, log p.

flow_mnist.py shows one recipe on one page. The network there learns the mean velocity wherever
lines between noise and images cross, so the way from noise to a digit is bent and takes some steps.
`--minibatch-ot` pairs noise with images that are near. `--reflow` trains a second network on the ends
that the first one reached: those lines cross less, and a few steps suffice.

    python examples/flow_variants.py
    python examples/flow_variants.py --minibatch-ot              minibatch optimal transport
    python examples/flow_variants.py --reflow               and then straighter ways
    python examples/flow_variants.py --resume --solver euler --steps 100
                                                            new samples from the trained network

The run's folder, runs/flow_variants, holds samples.png, guidance.png, steps.png, by solver and
number of steps, denoising.gif, training.gif and curves.png, and in the folder `reflow` the second
network's run. Printed are the FID and, for some held-out digits, −log p(x) in bits per pixel. On
two cores of an AMD EPYC ten minutes were training, and with --reflow two more; with seed 0 the FID
of 1,000 samples was then 2.0 (of as many real images 0.5), by as many steps of Heun's method 3.4,
and in one step after reflow 14.9. docs/flow.md explains it.

Reading order: `continuous`; `drawn`; `learn_images`, `learn_straight`, `learn`; `main`, `bits`,
`draw`. The loss, the loop and reflow are in tinygen/flow/matching.py, the solvers in
tinygen/flow/ode.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, flow, image, metrics, models, nn, optim
from tinygen._files import save_arrays
from tinygen.diffusion import samplers
from tinygen.flow import ode
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 5, 64, 1e-3
WIDTH = 48
DECAY, DROPPED = 0.999, 0.1  # of the average; the share of labels that are withheld
GUIDANCE, GUIDED = 1.5, (0.0, 1.0, 1.5, 3.0, 6.0)  # the second is what is compared
STEPS, TOLERANCE = 10, 1e-3  # of the solvers with equal steps, and of the adaptive one
PAIRS, PAIR_STEPS = 4000, 8  # of noise and digits, to learn straighter ways from
REFLOW_EPOCHS, REFLOW_RATE = 15, 5e-4
MEASURED = 50  # held-out images
FRAMES, FILMED = 20, 40  # of the animation, and how many images it shows
SHOWN, JUDGED = 100, 1000  # samples that are shown, and at most judged: drawing takes long
COUNTS = (1, 2, 4, 10)  # of steps, to be compared
DRAWING = ("guidance", "solver", "steps")  # what may change when a run is resumed
QUICK = {
    "epochs": 1,
    "train": 256,
    "test_images": 140,
    "width": 8,
    "steps": 2,
    "pairs": 64,
    "reflow_epochs": 1,
    "measured": 4,
}

SOLVERS = {"euler": ode.euler, "midpoint": ode.midpoint, "heun": ode.heun}
CALLS = {"euler": 1, "midpoint": 2, "heun": 2}  # of the network, in a step


def continuous(x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """From grey values in [0, 1] to numbers in [−1, 1]: each of the 256 becomes an interval, in
    which all numbers are as likely, for only where there are such is there a density"""
    return (np.round(255 * x) + rng.random(x.shape, np.float32)) / 128 - 1


def as_images(x: np.ndarray) -> np.ndarray:
    """From [−1, 1] to [0, 1]"""
    return (x.clip(-1, 1) + 1) / 2


# --- how it draws ---------------------------------------------------------------------------------


def drawn(
    net: nn.Module,
    n: int,
    shape: tuple[int, ...],
    args: Any,
    null: int | None,
    *,
    seed: int,
    **changed: Any,
) -> tuple[np.ndarray, np.ndarray | None]:
    """n images from 0 to 1, and their labels: as `args` say, but for what is `changed`"""
    noise, labels = start(n, shape, null, seed)
    x = moved(net, noise, labels, null, **({k: getattr(args, k) for k in DRAWING} | changed))
    return as_images(x), labels


def start(
    n: int, shape: tuple[int, ...], null: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The noise to start from, and what it is to become"""
    noise = np.random.default_rng(seed).standard_normal((n, *shape), np.float32)
    return noise, None if null is None else np.arange(n) % null


def moved(
    net: nn.Module,
    noise: np.ndarray,
    labels: np.ndarray | None,
    null: int | None,
    solver: str,
    steps: int,
    guidance: float,
) -> np.ndarray:
    """Where the flow takes noise to, guided if there are labels"""
    field = net if null is None else samplers.guided(net, guidance, null)
    if solver == "adaptive":
        return flow.transport(field, noise, labels, step=ode.Adaptive(TOLERANCE, TOLERANCE))
    times = np.linspace(0, 1, steps + 1)
    return flow.transport(field, noise, labels, times=times, step=SOLVERS[solver], size=250)


# --- the two stages -------------------------------------------------------------------------------


def learn_images(run: Run, args: Any, train: data.Labelled) -> tuple[nn.Module, int | None]:
    """The trained network, and its number for "any digit" """
    labels = None if args.unconditional else train.labels
    null, shape = None if labels is None else 1 + int(labels.max()), train.images.shape[1:]
    rng = np.random.default_rng(args.seed)
    net = flow.UnitTime(models.small_unet(shape, args.width, null, rng=rng))
    batches = data.Batches(
        train.images,
        min(args.batch_size, len(train.images)),
        rng=rng,
        labels=labels,
        epochs=args.epochs,
        transform=continuous,
        drop_last=True,
    )
    loss = functools.partial(
        flow.flow_loss, minibatch_ot=args.minibatch_ot, null=null, drop=DROPPED
    )
    frame = functools.partial(
        drawn, net, FILMED, shape, args, null, seed=1, guidance=1.0, solver="midpoint", steps=5
    )
    learn(run, net, batches, args.lr, rng, loss=loss, frame=frame)
    return net, null


def learn_straight(
    run: Run, args: Any, net: nn.Module, shape: tuple[int, ...], null: int | None
) -> nn.Module:
    """The second network: it begins as the first one, and learns where that takes noise to

    The first one is guided to the class there, so that the second need not be.
    """
    noise, labels = start(args.pairs, shape, null, 7)
    path = run.path("pairs.npz")
    if not path.exists():
        ends = moved(net, noise, labels, null, "heun", PAIR_STEPS, GUIDANCE)
        save_arrays(path, ends=ends)
    with np.load(path) as saved:
        pairs = np.stack([noise, saved["ends"]], axis=1)  # (N, 2, H, W, C)
    rng = np.random.default_rng([args.seed, 1])
    straight = flow.UnitTime(models.small_unet(shape, args.width, null, rng=rng))
    straight.load_state_dict(net.state_dict())
    batches = data.Batches(
        pairs,
        min(args.batch_size, len(pairs)),
        rng=rng,
        labels=labels,
        epochs=args.reflow_epochs,
        drop_last=True,
    )
    frame = functools.partial(
        drawn, straight, FILMED, shape, args, null, seed=1, guidance=1.0, solver="euler", steps=1
    )
    learn(run, straight, batches, REFLOW_RATE, rng, loss=flow.reflow_loss, frame=frame)
    return straight


def learn(
    run: Run,
    net: nn.Module,
    batches: data.Batches,
    lr: float,
    rng: np.random.Generator,
    *,
    loss: Callable[..., tg.Tensor],
    frame: Callable[[], Any],
) -> None:
    """Train the network, and put the average of its weights into it; `frame()` draws samples."""
    params, total = dict(net.named_parameters()), max(1, batches.steps or 0)
    rate = optim.warm_up(optim.cosine(lr, total), total // 50 + 1)
    adam, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
    film, every = image.Animation(FRAMES), max(1, total // FRAMES)
    run.keep(velocity=net, adam=adam, ema=ema, batches=batches, film=film, rng=rng)
    for record in run.track(flow.train(net, batches, adam, rng=rng, ema=ema, loss=loss)):
        if record.step % every == 0 or record.step == 1:
            with ema.applied():
                film.append(frame()[0], f"step {record.step}")
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="The error")
        film.save(run.path("training.gif"), title="Samples through training")
    ema.copy_to_params()


# --- the program ----------------------------------------------------------------------------------


def arguments() -> Any:
    parser = commandline.parser(
        __doc__, out="runs/flow_variants", epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE
    )
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add(
        "--minibatch-ot",
        action="store_true",
        help="pair noise with images that are near, by minibatch optimal transport",
    )
    add("--unconditional", action="store_true", help="do not condition the network on the digit")
    add(
        "--solver",
        choices=[*SOLVERS, "adaptive"],
        default="midpoint",
        help="how the flow is followed (default: midpoint)",
    )
    add(
        "--steps",
        type=at_least_1,
        default=STEPS,
        metavar="N",
        help=f"of the solver, unless it is adaptive (default: {STEPS})",
    )
    add(
        "--guidance",
        type=float,
        default=GUIDANCE,
        metavar="W",
        help=f"guidance weight (1 = no guidance, default: {GUIDANCE})",
    )
    add("--reflow", action="store_true", help="train a second network, of straighter ways")
    add(
        "--pairs",
        type=at_least_1,
        default=PAIRS,
        metavar="N",
        help=f"of noise and digits, that it learns from (default: {PAIRS})",
    )
    add(
        "--reflow-epochs",
        type=commandline.at_least(0),
        default=REFLOW_EPOCHS,
        metavar="N",
        help=f"how often it sees them (default: {REFLOW_EPOCHS})",
    )
    add(
        "--width",
        type=at_least_1,
        default=WIDTH,
        help=f"channels of the first level (default: {WIDTH})",
    )
    add(
        "--measured",
        type=at_least_1,
        default=MEASURED,
        metavar="N",
        help=f"estimate the probability of so many held-out images (default: {MEASURED})",
    )
    commandline.add_subsets(parser)
    return commandline.parse(parser, quick=QUICK)


def main() -> None:
    args = arguments()
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    shape = train.images.shape[1:]
    with Run(args.out, vars(args), resume=args.resume, free=(*DRAWING, "reflow")) as run:
        net, null = learn_images(run, args, train)
        verdict = judge(
            run, args, lambda n: drawn(net, n, shape, args, null, seed=3), test.images, most=JUDGED
        )
        if verdict:
            print(verdict)
        noise, labels = start(50, shape, null, 8)
        bent = flow.straightness(net, noise, labels, steps=20)
        straight = None
        if args.reflow:
            with run.second_stage("reflow") as second:
                straight = learn_straight(second, args, net, shape, null)
                after = flow.straightness(straight, noise, labels, steps=20)
                print(
                    f"the ways are bent by {bent:.4f}, and after reflow by {after:.4f}; a single "
                    f"step of Euler's then draws"
                )
                verdict = judge(
                    second,
                    args,
                    lambda n: drawn(
                        straight,
                        n,
                        shape,
                        args,
                        null,
                        seed=3,
                        solver="euler",
                        steps=1,
                        guidance=1.0,
                    ),
                    test.images,
                    most=JUDGED,
                )
                if verdict:
                    print(verdict)
                second.results(
                    seconds=second.seconds,
                    straightness=after,
                    parameters=sum(p.size for p in straight.parameters()),
                )
        draw(run, net, straight, shape, args, null)
        each = bits(net, null, test.images, args)
        run.results(
            seconds=run.seconds,
            parameters=sum(p.size for p in net.parameters()),
            bits_per_dimension=each.mean(),
            straightness=bent,
        )
        print(
            f"{len(each)} held-out images, with noise as wide as the step from one grey value to "
            f"the next: {each.mean():.3f} ± {each.std() / len(each) ** 0.5:.3f} bits per "
            f"pixel"
        )
        print(f"see {run.path('samples.png')} and the other pictures there")


def bits(net: nn.Module, null: int | None, images: np.ndarray, args: Any) -> np.ndarray:
    """−log p(x) of some images in bits per number, the digit not being told, by Hutchinson's trace

    It is what 256 grey values cost at most: log P(k) ≥ E log p(k + u) for noise u as wide as k is.
    """
    rng = np.random.default_rng(9)
    some = continuous(images[rng.permutation(len(images))[: args.measured]], rng=rng)
    any_digit = None if null is None else np.full(len(some), null)
    step = ode.Adaptive(TOLERANCE, TOLERANCE)
    nats = -flow.log_likelihood(net, some, any_digit, probes=1, rng=rng, step=step)
    return metrics.bits_per_dimension(nats, some[0].size, 128)  # grey values are 1/128 apart


def draw(
    run: Run,
    net: nn.Module,
    straight: nn.Module | None,
    shape: tuple[int, ...],
    args: Any,
    null: int | None,
) -> None:
    """All pictures; each from the same noise, so that one sees what else differs."""
    samples, _ = drawn(net, SHOWN, shape, args, null, seed=2)
    image.grid(run.path("samples.png"), samples, columns=10, title="Samples")
    row = functools.partial(drawn, n=20, shape=shape, args=args, null=null, seed=4)
    if null is not None:
        rows = {f"guidance {w:g}": row(net, guidance=w)[0] for w in GUIDED}
        image.strip(run.path("guidance.png"), rows, ends=False, title="The same noise, guided")
    rows = {
        f"{name}, {k} × {calls}": row(net, solver=name, steps=k)[0][:10]
        for name, calls in CALLS.items()
        for k in COUNTS
    }
    rows["adaptive"] = row(net, solver="adaptive")[0][:10]
    if straight is not None:
        rows |= {
            f"after reflow: euler, {k} × 1": row(straight, solver="euler", steps=k, guidance=1.0)[
                0
            ][:10]
            for k in COUNTS
        }
    image.strip(
        run.path("steps.png"),
        rows,
        ends=False,
        title="The same noise, by solver, steps and calls of the network in each",
    )

    noise, labels = start(FILMED, shape, null, 5)
    field = net if null is None else samplers.guided(net, args.guidance, null)
    film, times = image.Animation(60), np.linspace(0, 1, 5 * args.steps + 1)
    states = ode.path(flow.velocity(field, labels), tg.xp.asarray(noise), times)
    for t, x in zip(times, states, strict=True):
        film.append(as_images(x), f"t = {t:.2f}")
    film.save(run.path("denoising.gif"), title="From noise to images")


if __name__ == "__main__":
    commandline.main(main)
