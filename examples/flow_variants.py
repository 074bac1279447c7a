"""Flow matching of digits: other solvers, minibatch optimal transport, reflow and log p(x).

flow_mnist.py shows one recipe on one page. Where its lines from noise to images cross, the network
learns their mean velocity, so the paths to digits are curved and take several steps.
`--minibatch-ot` pairs noise with nearby images. `--reflow` trains a second network on noise paired
with the digits that the first makes of it: those lines cross less, and a few steps suffice.

    python examples/flow_variants.py
    python examples/flow_variants.py --minibatch-ot         minibatch optimal transport
    python examples/flow_variants.py --reflow               also a second, straighter flow
    python examples/flow_variants.py --resume --solver euler --steps 100
                                                            new samples from the trained network

The run's folder, runs/flow_variants, holds samples.png; guidance.png; steps.png, by solver and
number of steps; denoising.gif, training.gif and curves.png; and the second network's run in the
folder `reflow`. The FID and, for some held-out digits, −log p(x) in bits per pixel are printed. On
two cores of an AMD EPYC, training took ten minutes, and two more with --reflow. docs/flow.md
explains the methods, docs/results.md has the scores.

Reading order: `dequantise`; `generate`; `learn_images`, `learn_reflow`, `learn`; `main`, `bits`,
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
DECAY, DROPPED = 0.999, 0.1  # EMA decay; fraction of labels withheld
GUIDANCE, GUIDED = 1.5, (0.0, 1.0, 1.5, 3.0, 6.0)  # the second: weights in guidance.png
STEPS, TOLERANCE = 10, 1e-3  # of the fixed-step solvers; of the adaptive one
PAIRS, PAIR_STEPS = 4000, 8  # pairs of noise and digits for reflow; Heun's steps to make them
REFLOW_EPOCHS, REFLOW_RATE = 15, 5e-4
MEASURED = 50  # held-out images for log p(x)
FRAMES, FILMED = 20, 40  # frames of the animation; images in each
SHOWN, SCORED = 100, 1000  # samples in samples.png; samples for the FID
COUNTS = (1, 2, 4, 10)  # numbers of steps in steps.png
SAMPLING = ("guidance", "solver", "steps")  # may change when a run is resumed
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
CALLS = {"euler": 1, "midpoint": 2, "heun": 2}  # of the network per step


def dequantise(x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """From grey values k = 0 … 255 to (k + u) / 128 − 1, u ~ U(0, 1): these have a density"""
    return (np.round(255 * x) + rng.random(x.shape, np.float32)) / 128 - 1


def as_images(x: np.ndarray) -> np.ndarray:
    """From [−1, 1] to [0, 1]"""
    return (x.clip(-1, 1) + 1) / 2


# --- sampling -------------------------------------------------------------------------------------


def generate(
    net: nn.Module,
    n: int,
    shape: tuple[int, ...],
    args: Any,
    null: int | None,
    *,
    seed: int,
    **changed: Any,
) -> tuple[np.ndarray, np.ndarray | None]:
    """n images from 0 to 1, and their labels; `changed` options replace those of `args`"""
    noise, labels = start(n, shape, null, seed)
    x = solve(net, noise, labels, null, **({k: getattr(args, k) for k in SAMPLING} | changed))
    return as_images(x), labels


def start(
    n: int, shape: tuple[int, ...], null: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Noise, and the labels of the images to make of it"""
    noise = np.random.default_rng(seed).standard_normal((n, *shape), np.float32)
    return noise, None if null is None else np.arange(n) % null


def solve(
    net: nn.Module,
    noise: np.ndarray,
    labels: np.ndarray | None,
    null: int | None,
    solver: str,
    steps: int,
    guidance: float,
) -> np.ndarray:
    """The end of the flow from this noise, guided if there are labels"""
    field = net if null is None else samplers.guided(net, guidance, null)
    if solver == "adaptive":
        return flow.transport(field, noise, labels, step=ode.Adaptive(TOLERANCE, TOLERANCE))
    times = np.linspace(0, 1, steps + 1)
    return flow.transport(field, noise, labels, times=times, step=SOLVERS[solver], size=250)


# --- the two stages -------------------------------------------------------------------------------


def learn_images(run: Run, args: Any, train: data.Labelled) -> tuple[nn.Module, int | None]:
    """The trained network, and its label "any digit" """
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
        transform=dequantise,
        drop_last=True,
    )
    loss = functools.partial(
        flow.flow_loss, minibatch_ot=args.minibatch_ot, null=null, drop=DROPPED
    )
    frame = functools.partial(
        generate, net, FILMED, shape, args, null, seed=1, guidance=1.0, solver="midpoint", steps=5
    )
    learn(run, net, batches, args.lr, rng, loss=loss, frame=frame)
    return net, null


def learn_reflow(
    run: Run, args: Any, net: nn.Module, shape: tuple[int, ...], null: int | None
) -> nn.Module:
    """The second network: initialised as the first, and trained on noise and the images it makes

    The first network makes them with guidance, so the second needs no guidance.
    """
    noise, labels = start(args.pairs, shape, null, 7)
    path = run.path("pairs.npz")
    if not path.exists():
        ends = solve(net, noise, labels, null, "heun", PAIR_STEPS, GUIDANCE)
        save_arrays(path, ends=ends)
    with np.load(path) as saved:
        pairs = np.stack([noise, saved["ends"]], axis=1)  # (N, 2, H, W, C)
    rng = np.random.default_rng([args.seed, 1])
    second = flow.UnitTime(models.small_unet(shape, args.width, null, rng=rng))
    second.load_state_dict(net.state_dict())
    batches = data.Batches(
        pairs,
        min(args.batch_size, len(pairs)),
        rng=rng,
        labels=labels,
        epochs=args.reflow_epochs,
        drop_last=True,
    )
    frame = functools.partial(
        generate, second, FILMED, shape, args, null, seed=1, guidance=1.0, solver="euler", steps=1
    )
    learn(run, second, batches, REFLOW_RATE, rng, loss=flow.reflow_loss, frame=frame)
    return second


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
    """Train the network, and give it the moving average of its weights; `frame()` makes samples."""
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
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Squared error")
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
        help="pair noise with nearby images, by minibatch optimal transport",
    )
    add("--unconditional", action="store_true", help="do not condition the network on the digit")
    add(
        "--solver",
        choices=[*SOLVERS, "adaptive"],
        default="midpoint",
        help="ODE solver (default: midpoint)",
    )
    add(
        "--steps",
        type=at_least_1,
        default=STEPS,
        metavar="N",
        help=f"steps of the solver, unless it is adaptive (default: {STEPS})",
    )
    add(
        "--guidance",
        type=float,
        default=GUIDANCE,
        metavar="W",
        help=f"guidance weight (1 = no guidance, default: {GUIDANCE})",
    )
    add("--reflow", action="store_true", help="train a second network, with straighter paths")
    add(
        "--pairs",
        type=at_least_1,
        default=PAIRS,
        metavar="N",
        help=f"pairs of noise and digit for reflow (default: {PAIRS})",
    )
    add(
        "--reflow-epochs",
        type=commandline.at_least(0),
        default=REFLOW_EPOCHS,
        metavar="N",
        help=f"passes of reflow over the pairs (default: {REFLOW_EPOCHS})",
    )
    add(
        "--width",
        type=at_least_1,
        default=WIDTH,
        help=f"channels of the U-Net's first level (default: {WIDTH})",
    )
    add(
        "--measured",
        type=at_least_1,
        default=MEASURED,
        metavar="N",
        help=f"held-out images for log p(x) (default: {MEASURED})",
    )
    commandline.add_subsets(parser)
    return commandline.parse(parser, quick=QUICK)


def main() -> None:
    args = arguments()
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    shape = train.images.shape[1:]
    with Run(args.out, vars(args), resume=args.resume, free=(*SAMPLING, "reflow")) as run:
        net, null = learn_images(run, args, train)
        images = functools.partial(generate, shape=shape, args=args, null=null, seed=3)
        verdict = judge(run, args, functools.partial(images, net), test.images, most=SCORED)
        if verdict:
            print(verdict)
        noise, labels = start(50, shape, null, 8)
        before = flow.straightness(net, noise, labels, steps=20)
        second = None
        if args.reflow:
            with run.second_stage("reflow") as stage:
                second = learn_reflow(stage, args, net, shape, null)
                after = flow.straightness(second, noise, labels, steps=20)
                print(
                    f"straightness {before:.4f}, after reflow {after:.4f} (0: one step suffices); "
                    f"after reflow, in one Euler step:"
                )
                one_step = functools.partial(images, second, solver="euler", steps=1, guidance=1.0)
                if verdict := judge(stage, args, one_step, test.images, most=SCORED):
                    print(verdict)
                stage.results(
                    seconds=stage.seconds,
                    straightness=after,
                    parameters=sum(p.size for p in second.parameters()),
                )
        draw(run, net, second, shape, args, null)
        per_image = bits(net, null, test.images, args)
        mean, error = per_image.mean(), per_image.std() / len(per_image) ** 0.5
        run.results(
            seconds=run.seconds,
            parameters=sum(p.size for p in net.parameters()),
            bits_per_dimension=mean,
            straightness=before,
        )
        print(
            f"−log p(x) of {len(per_image)} dequantised held-out images: {mean:.3f} ± {error:.3f} "
            f"bits per pixel"
        )
        print(f"see {run.path('samples.png')} and the other pictures there")


def bits(net: nn.Module, null: int | None, images: np.ndarray, args: Any) -> np.ndarray:
    """−log p(x) of some images in bits per dimension, with the label "any digit"

    By Hutchinson's trace estimator. It bounds the grey values' cost: −log P(k) ≤ −E log p(k + u).
    """
    rng = np.random.default_rng(9)
    x = dequantise(images[rng.permutation(len(images))[: args.measured]], rng=rng)
    any_digit = None if null is None else np.full(len(x), null)
    step = ode.Adaptive(TOLERANCE, TOLERANCE)
    nats = -flow.log_likelihood(net, x, any_digit, probes=1, rng=rng, step=step)
    return metrics.bits_per_dimension(nats, x[0].size, 128)  # grey values are 1/128 apart


def draw(
    run: Run,
    net: nn.Module,
    second: nn.Module | None,
    shape: tuple[int, ...],
    args: Any,
    null: int | None,
) -> None:
    """All pictures; the rows of each comparison start from the same noise."""
    samples, _ = generate(net, SHOWN, shape, args, null, seed=2)
    image.grid(run.path("samples.png"), samples, columns=10, title="Samples")
    row = functools.partial(generate, n=20, shape=shape, args=args, null=null, seed=4)
    if null is not None:
        rows = {f"guidance {w:g}": row(net, guidance=w)[0] for w in GUIDED}
        title = "The same noise by guidance weight"
        image.strip(run.path("guidance.png"), rows, ends=False, title=title)
    rows = {
        f"{name}, {k} × {calls}": row(net, solver=name, steps=k)[0][:10]
        for name, calls in CALLS.items()
        for k in COUNTS
    }
    rows["adaptive"] = row(net, solver="adaptive")[0][:10]
    if second is not None:
        reflowed = functools.partial(row, second, solver="euler", guidance=1.0)
        rows |= {f"after reflow: euler, {k} × 1": reflowed(steps=k)[0][:10] for k in COUNTS}
    title = "The same noise by solver, steps × network calls per step"
    image.strip(run.path("steps.png"), rows, ends=False, title=title)

    noise, labels = start(FILMED, shape, null, 5)
    field = net if null is None else samplers.guided(net, args.guidance, null)
    film, times = image.Animation(60), np.linspace(0, 1, 5 * args.steps + 1)
    states = ode.path(flow.velocity(field, labels), tg.xp.asarray(noise), times)
    for t, x in zip(times, states, strict=True):
        film.append(as_images(x), f"t = {t:.2f}")
    film.save(run.path("denoising.gif"), title="From noise to images")


if __name__ == "__main__":
    commandline.main(main)
