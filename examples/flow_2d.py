"""Flow matching in the plane, where all of it can be seen: a velocity field, and its density.

A small network learns the velocities of lines from noise to data, in about 20 seconds of processor
time. In runs/flow_2d are then samples.png, samples beside the data; solvers.png, three ways to
follow the field and how many steps each needs; paths.png, the lines that it learns from beside the
ways that points go; field.png, the velocities at several times; density.png, the density that has
been learnt, beside the true one where it is known; curves.png, and flow.gif.

    python examples/flow_2d.py
    python examples/flow_2d.py --minibatch-ot         another network learns from lines that cross less
    python examples/flow_2d.py --reflow 2        and others from pairs that the one before has made
    python examples/flow_2d.py --data swirl

With networks beside each other few.png shows what each makes in few steps.

Reading order: `learn`, `main`; the numbers; the pictures. The sets are in
tinygen/data/points_2d.py, the losses and the loop in tinygen/flow/matching.py, the steps in
tinygen/flow/ode.py; diffusion_2d.py is this page's sibling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import tinygen as tg
from tinygen import flow, image, metrics, optim
from tinygen._files import save_arrays
from tinygen.data import Batches
from tinygen.data.points_2d import SETS, PlaneSet
from tinygen.flow import ode, optimal_pairs
from tinygen.image import trajectories
from tinygen.image.style import BLUE, panels
from tinygen.image.trajectories import SHADE
from tinygen.metrics import energy_distance
from tinygen.models import PlaneMLP
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 256, 4e-3
TRAIN, TEST = 100_000, 2000
DECAY = 0.999  # of the average of the networks, which is what samples are taken from
CALLS, FEW = (2, 4, 10, 40), (1, 2, 4, 8)  # of the network in solvers.png, steps in few.png
PATHS, FRAMES = 48, 60  # points whose ways are drawn; pictures of the animation
ARROWS, TIMES = 19, (0.1, 0.4, 0.7, 0.95)  # of field.png
SOLVED, TOLERANCE = 50, 1e-4  # steps, or how exact those are that adapt, to find the density
REFLOWED = np.linspace(0, 1, 21)  # the times of the steps that make pairs
QUICK = {"epochs": 1, "train": 5000, "test": 300}


# --- the run --------------------------------------------------------------------------------------


def learn(
    run: Run, args: Any, x: np.ndarray, loss: Callable[..., Any], start: Any = None
) -> flow.UnitTime:
    """A network, trained on rows of x, with the average of its weights; it begins as `start`."""
    rng = np.random.default_rng(args.seed)
    network = flow.UnitTime(PlaneMLP(rng=rng)) if start is None else copy.deepcopy(start)
    batches = Batches(x, min(args.batch_size, len(x)), rng=rng, epochs=args.epochs)
    rate = optim.cosine(args.lr, max(1, batches.steps or 1))
    optimizer = optim.Adam(dict(network.named_parameters()), rate)
    average = optim.EMA(dict(network.named_parameters()), DECAY)
    run.keep(model=network, optimizer=optimizer, average=average, batches=batches, rng=rng)
    for _ in run.track(flow.train(network, batches, optimizer, rng=rng, ema=average, loss=loss)):
        pass
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Square error")
    with average.applied():
        return copy.deepcopy(network)


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/flow_2d",
        data=None,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    add("--data", choices=SETS, default="checkerboard", help="(default: checkerboard)")
    add(
        "--train",
        type=commandline.at_least(1),
        default=TRAIN,
        metavar="N",
        help=f"training points (default: {TRAIN})",
    )
    add(
        "--test",
        type=commandline.at_least(100),
        default=TEST,
        metavar="N",
        help=f"held-out points (default: {TEST})",
    )
    add(
        "--minibatch-ot",
        action="store_true",
        help="train another, on pairs by optimal transport: finding them takes long",
    )
    add(
        "--reflow",
        type=commandline.at_least(0),
        default=0,
        metavar="K",
        help="and K more, each on the pairs that the one before makes (default: 0)",
    )
    args = commandline.parse(parser, quick=QUICK)
    known, free = (
        SETS[args.data],
        ("minibatch_ot", "reflow"),
    )  # of which a resumed run may want more

    with (
        Run(args.out, vars(args), resume=args.resume, free=free) as run,
        threadpool_limits(1, "blas"),  # matrices as small as these are not worth sharing out
    ):
        judges = np.random.default_rng([args.seed, 1])
        train, test, other = (
            known.draw(n, rng=judges).points for n in (args.train, args.test, args.test)
        )
        noise = judges.standard_normal((max(args.train, args.samples, args.test), 2), np.float32)

        networks = {"random pairs": learn(run, args, train, flow.flow_loss)}
        lines = {"random pairs": test}  # the ends of lines from the noise

        def another(name: str, x: np.ndarray, loss: Any, start: Any = None) -> None:
            folder = run.path(name.replace(" ", "-"))
            resume = args.resume and (folder / "config.json").exists()
            settings = vars(args) | {"out": folder}
            with Run(folder, settings, resume=resume, free=free) as own:
                networks[name] = learn(own, args, x, loss, start)

        if args.minibatch_ot:
            another("minibatch OT", train, partial(flow.flow_loss, minibatch_ot=True))
            # as in training, each with the noise that is its own among some
            some = test[: args.batch_size]
            lines["minibatch OT"] = optimal_pairs(some, noise[: len(some)])
        last = networks["random pairs"]
        for k in range(1, args.reflow + 1):
            pairs = flow.reflow_pairs(last, noise[: args.train], times=REFLOWED, step=ode.heun)
            another(f"reflow {k}", pairs, flow.reflow_loss, last)
            lines[f"reflow {k}"] = pairs[:, 1]
            last = networks[f"reflow {k}"]

        judged(run, known, networks, test, other, noise[: args.test])
        draw(run, known, networks, lines, test, noise[: args.test])
        if args.samples:
            made = flow.transport(networks["random pairs"], noise[: args.samples])
            save_arrays(run.path("samples.npz"), points=made)
        print(f"see {run.path('samples.png')} and the other pictures there")


def judged(
    run: Run,
    known: PlaneSet,
    networks: dict[str, flow.UnitTime],
    test: np.ndarray,
    other: np.ndarray,
    noise: np.ndarray,
) -> None:
    """What can be said in numbers, printed and kept; beside each what the truth comes to."""
    floor = energy_distance(other, test)
    found: dict[str, Any] = {"floor": floor}
    if known.log_density is not None:
        true = known.log_density(test)
        found["true_log_likelihood"] = float(true.mean())
    for name, network in networks.items():
        solver = ode.Adaptive(TOLERANCE, TOLERANCE)
        samples = flow.transport(network, noise, step=solver, size=len(noise))
        log_p = flow.log_likelihood(network, test, step=ode.Adaptive(TOLERANCE, TOLERANCE))
        one = energy_distance(flow.transport(network, noise, step=ode.euler), test)
        own = {
            "log_likelihood": float(log_p.mean()),
            "evaluations": solver.evaluations,
            "energy_distance": energy_distance(samples, test),
            "energy_distance_1_step": one,
            "straightness": flow.straightness(network, noise),
        }
        print(
            f"{name}: log p(x) of held-out points {own['log_likelihood']:.3f} nats; energy "
            f"distance of samples to them {own['energy_distance']:.5f} with "
            f"{solver.evaluations} evaluations, {one:.5f} with 1; straightness "
            f"{own['straightness']:.4f}"
        )
        if known.log_density is not None:
            # good is where the true density is as high as where all but 1 % of the points are
            own["good_samples"] = float(
                (known.log_density(samples) >= np.quantile(true, 0.01)).mean()
            )
            text = f"    {own['good_samples']:.1%} of samples where 99 % of held-out points are"
            if known.modes is not None:
                own["modes"] = metrics.modes(samples, **known.modes).captured
                text += f", in {own['modes']} of {len(known.modes['means'])} modes"
            print(text)
        found[name] = own
    first = found.pop("random pairs")
    run.results(
        **found, **first, seconds=run.seconds, parameters=sum(p.size for p in network.parameters())
    )
    truth = f"log p(x) {found['true_log_likelihood']:.3f}; " if known.log_density else ""
    print(f"the truth: {truth}energy distance of as many other points {floor:.5f}")


# --- pictures -------------------------------------------------------------------------------------


def draw(
    run: Run,
    known: PlaneSet,
    networks: dict[str, flow.UnitTime],
    lines: dict[str, np.ndarray],
    test: np.ndarray,
    noise: np.ndarray,
) -> None:
    """All pictures; where it is not said, of the first network."""
    first = networks["random pairs"]
    reach = 1.15 * float(np.abs(test).max())
    extent = (-reach, reach, -reach, reach)
    samples = flow.transport(first, noise)
    image.points(
        run.path("samples.png"), {"held-out points": test, "samples": samples}, extent=extent
    )

    panel = {}
    for solver, cost in ((ode.euler, 1), (ode.midpoint, 2), (ode.heun, 2)):
        for calls in CALLS:
            steps = calls // cost
            times = np.linspace(0, 1, steps + 1)
            x = flow.transport(first, noise, times=times, step=solver)
            panel[
                f"{solver.__name__}, {steps} step{'s' * (steps > 1)}: {calls} calls\n"
                f"energy distance {energy_distance(x, test):.4f}"
            ] = x
    image.points(
        run.path("solvers.png"),
        panel,
        truth=test,
        extent=extent,
        title="How many steps each solver needs",
    )
    if len(networks) > 1:
        panel = {}
        for name, network in networks.items():
            for steps in FEW:
                x = flow.transport(
                    network, noise, times=np.linspace(0, 1, steps + 1), step=ode.euler
                )
                panel[
                    f"{name}, {steps} step{'s' * (steps > 1)}\n"
                    f"energy distance {energy_distance(x, test):.4f}"
                ] = x
        image.points(
            run.path("few.png"), panel, truth=test, extent=extent, title="A few of Euler's steps"
        )

    draw_paths(run, networks, lines, test, noise[:PATHS])
    draw_field(run, first, test, noise)
    log_p = partial(flow.log_likelihood, first, times=np.linspace(1, 0, SOLVED + 1), step=ode.heun)
    trajectories.density(run.path("density.png"), known.log_density, log_p, test, extent)

    velocity, times = flow.velocity(first), np.linspace(0, 1, FRAMES + 1).tolist()
    states = ode.path(velocity, tg.xp.asarray(noise), times)
    frames = [
        trajectories.moment(f"t = {t:.2f}", x, x + (1 - t) * velocity(x, t))
        for t, x in zip(times, states, strict=True)
    ]
    image.animation(run.path("flow.gif"), frames, fps=12)


def draw_paths(
    run: Run,
    networks: dict[str, flow.UnitTime],
    lines: dict[str, np.ndarray],
    test: np.ndarray,
    noise: np.ndarray,
) -> None:
    """For each network lines such as it has learnt from, and where it takes the same noise."""
    size = (9, 4.7 * len(networks) + 0.4)
    with panels(
        "draw_paths", run.path("paths.png"), size, len(networks), 2, "From noise, ○, to points, ●"
    ) as axes:
        for row, (name, network) in enumerate(networks.items()):
            left, right = axes[2 * row : 2 * row + 2]
            states = ode.path(flow.velocity(network), tg.xp.asarray(noise), np.linspace(0, 1, 101))
            ways = np.stack([tg.to_numpy(state) for state in states])
            learnt = np.stack([noise, lines[name][: len(noise)]])
            for ax, x, title in ((left, learnt, "lines to learn"), (right, ways, "the ways gone")):
                ax.scatter(*test.T, s=4, color=SHADE, linewidths=0)
                trajectories.ways(ax, x)
                trajectories.framed(ax).set_title(f"{name}: {title}")


def draw_field(run: Run, network: flow.UnitTime, test: np.ndarray, noise: np.ndarray) -> None:
    """The velocity v(x, t) over points x_t."""
    x, y = np.meshgrid(*[np.linspace(-2.5, 2.5, ARROWS, dtype=np.float32)] * 2)
    grid = tg.xp.asarray(np.stack([x.ravel(), y.ravel()], axis=1))
    with panels(
        "draw_field",
        run.path("field.png"),
        (13, 4),
        1,
        len(TIMES),
        "The velocity, and points on their way",
    ) as axes:
        for ax, t in zip(axes, TIMES, strict=True):
            ax.scatter(*((1 - t) * noise + t * test).T, s=4, color=SHADE, linewidths=0)
            v = tg.to_numpy(flow.velocity(network)(grid, t))
            ax.quiver(x, y, *v.T, color=BLUE, angles="xy", width=0.005, scale=40)
            trajectories.framed(ax).set_title(f"t = {t}")


if __name__ == "__main__":
    commandline.main(main)
