"""Flow matching in the plane, where paths, velocities and densities can be plotted.

A small network learns the velocities of lines from noise to data, in about 20 seconds of processor
time. The run's folder, runs/flow_2d, holds samples.png, beside the data; solvers.png, three solvers
at several numbers of steps; paths.png, the training lines beside the learned paths; field.png, the
velocity at several times; density.png, the learned density, beside the true one if it is known;
curves.png; and flow.gif.

    python examples/flow_2d.py
    python examples/flow_2d.py --minibatch-ot    also minibatch optimal transport
    python examples/flow_2d.py --reflow 2        also two rounds of reflow
    python examples/flow_2d.py --data swirl

With more than one network, few.png compares their samples in few steps.

Reading order: `learn`, `main`; the numbers; the pictures. The sets are in
tinygen/data/points_2d.py, the losses and the loop in tinygen/flow/matching.py, the solvers in
tinygen/flow/ode.py. diffusion_2d.py is the same for diffusion.
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
DECAY = 0.999  # of the EMA of the weights, with which samples are made
CALLS, FEW = (2, 4, 10, 40), (1, 2, 4, 8)  # network calls in solvers.png; steps in few.png
PATHS, FRAMES = 48, 60  # points in paths.png; frames of the animation
ARROWS, TIMES = 19, (0.1, 0.4, 0.7, 0.95)  # in field.png: arrows per side, and values of t
STEPS, TOLERANCE = 50, 1e-4  # of the solvers for the density: fixed steps, adaptive steps
REFLOW_TIMES = np.linspace(0, 1, 21)  # of the solver that makes the pairs
QUICK = {"epochs": 1, "train": 5000, "test": 300}


# --- the run --------------------------------------------------------------------------------------


def learn(
    run: Run, args: Any, x: np.ndarray, loss: Callable[..., Any], start: Any = None
) -> flow.UnitTime:
    """A network trained on rows of x, with averaged weights; initialised as `start` if given."""
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
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Squared error")
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
    add("--data", choices=SETS, default="checkerboard", help="point set (default: checkerboard)")
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
        help="also train a network with minibatch optimal transport, which is slower",
    )
    add(
        "--reflow",
        type=commandline.at_least(0),
        default=0,
        metavar="K",
        help="also train K networks, each on pairs from the previous flow (default: 0)",
    )
    args = commandline.parse(parser, quick=QUICK)
    target, free = SETS[args.data], ("minibatch_ot", "reflow")  # free: may change in a resumed run

    with (
        Run(args.out, vars(args), resume=args.resume, free=free) as run,
        threadpool_limits(1, "blas"),  # the matrices are too small for more threads
    ):
        rng = np.random.default_rng([args.seed, 1])
        train, test, test_2 = (
            target.draw(n, rng=rng).points for n in (args.train, args.test, args.test)
        )
        noise = rng.standard_normal((max(args.train, args.samples, args.test), 2), np.float32)

        networks = {"random pairs": learn(run, args, train, flow.flow_loss)}
        ends = {"random pairs": test}  # of the lines from `noise`

        def learn_another(name: str, x: np.ndarray, loss: Any, start: Any = None) -> None:
            folder = run.path(name.replace(" ", "-"))
            resume = args.resume and (folder / "config.json").exists()
            settings = vars(args) | {"out": folder}
            with Run(folder, settings, resume=resume, free=free) as its_run:
                networks[name] = learn(its_run, args, x, loss, start)

        if args.minibatch_ot:
            learn_another("minibatch OT", train, partial(flow.flow_loss, minibatch_ot=True))
            batch = test[: args.batch_size]  # points and noise are paired within a batch
            ends["minibatch OT"] = optimal_pairs(batch, noise[: len(batch)])
        last = networks["random pairs"]
        for k in range(1, args.reflow + 1):
            pairs = flow.reflow_pairs(last, noise[: args.train], times=REFLOW_TIMES, step=ode.heun)
            learn_another(f"reflow {k}", pairs, flow.reflow_loss, last)
            ends[f"reflow {k}"] = pairs[:, 1]
            last = networks[f"reflow {k}"]

        evaluate(run, target, networks, test, test_2, noise[: args.test])
        draw(run, target, networks, ends, test, noise[: args.test])
        if args.samples:
            samples = flow.transport(networks["random pairs"], noise[: args.samples])
            save_arrays(run.path("samples.npz"), points=samples)
        print(f"see {run.path('samples.png')} and the other pictures there")


def evaluate(
    run: Run,
    target: PlaneSet,
    networks: dict[str, flow.UnitTime],
    test: np.ndarray,
    test_2: np.ndarray,
    noise: np.ndarray,
) -> None:
    """Print and save the scores, beside those of the true distribution."""
    baseline = energy_distance(test_2, test)
    results: dict[str, Any] = {"energy_distance_baseline": baseline}
    if target.log_density is not None:
        true = target.log_density(test)
        results["true_log_likelihood"] = float(true.mean())
    for name, network in networks.items():
        solver = ode.Adaptive(TOLERANCE, TOLERANCE)
        samples = flow.transport(network, noise, step=solver, size=len(noise))
        log_p = flow.log_likelihood(network, test, step=ode.Adaptive(TOLERANCE, TOLERANCE))
        one_step = energy_distance(flow.transport(network, noise, step=ode.euler), test)
        scores = {
            "log_likelihood": float(log_p.mean()),
            "evaluations": solver.evaluations,
            "energy_distance": energy_distance(samples, test),
            "energy_distance_1_step": one_step,
            "straightness": flow.straightness(network, noise),
        }
        print(
            f"{name}: log p(x) of held-out points {scores['log_likelihood']:.3f} nats; energy "
            f"distance from samples to them {scores['energy_distance']:.5f} with "
            f"{solver.evaluations} network calls, {one_step:.5f} with 1; straightness "
            f"{scores['straightness']:.4f}"
        )
        if target.log_density is not None:
            # good samples have a true density above the 1 % quantile of the held-out points'
            good = (target.log_density(samples) >= np.quantile(true, 0.01)).mean()
            scores["good_samples"] = float(good)
            text = f"    {good:.1%} of samples in the region of 99 % of held-out points"
            if target.modes is not None:
                scores["modes"] = metrics.modes(samples, **target.modes).captured
                text += f", in {scores['modes']} of {len(target.modes['means'])} modes"
            print(text)
        results[name] = scores
    first = results.pop("random pairs")
    parameters = sum(p.size for p in network.parameters())
    run.results(**results, **first, seconds=run.seconds, parameters=parameters)
    truth = f"log p(x) {results['true_log_likelihood']:.3f}; " if target.log_density else ""
    print(f"true distribution: {truth}energy distance of as many other points {baseline:.5f}")


# --- pictures -------------------------------------------------------------------------------------


def draw(
    run: Run,
    target: PlaneSet,
    networks: dict[str, flow.UnitTime],
    ends: dict[str, np.ndarray],
    test: np.ndarray,
    noise: np.ndarray,
) -> None:
    """All pictures; of the first network, unless its title names another."""
    first = networks["random pairs"]
    reach = 1.15 * float(np.abs(test).max())
    extent = (-reach, reach, -reach, reach)
    samples = flow.transport(first, noise)
    image.points(
        run.path("samples.png"), {"held-out points": test, "samples": samples}, extent=extent
    )

    by_steps = {}
    for solver, cost in ((ode.euler, 1), (ode.midpoint, 2), (ode.heun, 2)):
        for calls in CALLS:
            steps = calls // cost
            times = np.linspace(0, 1, steps + 1)
            x = flow.transport(first, noise, times=times, step=solver)
            by_steps[
                f"{solver.__name__}, {steps} step{'s' * (steps > 1)}: {calls} network calls\n"
                f"energy distance {energy_distance(x, test):.4f}"
            ] = x
    image.points(
        run.path("solvers.png"),
        by_steps,
        truth=test,
        extent=extent,
        title="Samples by solver and number of steps",
    )
    if len(networks) > 1:
        by_steps = {}
        for name, network in networks.items():
            for steps in FEW:
                x = flow.transport(
                    network, noise, times=np.linspace(0, 1, steps + 1), step=ode.euler
                )
                by_steps[
                    f"{name}, {steps} step{'s' * (steps > 1)}\n"
                    f"energy distance {energy_distance(x, test):.4f}"
                ] = x
        title = "Samples in a few Euler steps"
        image.points(run.path("few.png"), by_steps, truth=test, extent=extent, title=title)

    draw_paths(run, networks, ends, test, noise[:PATHS])
    draw_field(run, first, test, noise)
    log_p = partial(flow.log_likelihood, first, times=np.linspace(1, 0, STEPS + 1), step=ode.heun)
    trajectories.density(run.path("density.png"), target.log_density, log_p, test, extent)

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
    ends: dict[str, np.ndarray],
    test: np.ndarray,
    noise: np.ndarray,
) -> None:
    """For each network some of its training lines, and its paths from the same noise."""
    size, title = (9, 4.7 * len(networks) + 0.4), "From noise ○ to points ●"
    with panels("draw_paths", run.path("paths.png"), size, len(networks), 2, title) as axes:
        for row, (name, network) in enumerate(networks.items()):
            left, right = axes[2 * row : 2 * row + 2]
            states = ode.path(flow.velocity(network), tg.xp.asarray(noise), np.linspace(0, 1, 101))
            learned = np.stack([tg.to_numpy(state) for state in states])
            training = np.stack([noise, ends[name][: len(noise)]])
            titled = ((left, training, "training lines"), (right, learned, "learned paths"))
            for ax, x, title in titled:
                ax.scatter(*test.T, s=4, color=SHADE, linewidths=0)
                trajectories.ways(ax, x)
                trajectories.framed(ax).set_title(f"{name}: {title}")


def draw_field(run: Run, network: flow.UnitTime, test: np.ndarray, noise: np.ndarray) -> None:
    """The velocity v(x, t) over points x_t."""
    x, y = np.meshgrid(*[np.linspace(-2.5, 2.5, ARROWS, dtype=np.float32)] * 2)
    grid = tg.xp.asarray(np.stack([x.ravel(), y.ravel()], axis=1))
    title = "The velocity v(x, t), over points x_t"
    with panels("draw_field", run.path("field.png"), (13, 4), 1, len(TIMES), title) as axes:
        for ax, t in zip(axes, TIMES, strict=True):
            ax.scatter(*((1 - t) * noise + t * test).T, s=4, color=SHADE, linewidths=0)
            v = tg.to_numpy(flow.velocity(network)(grid, t))
            ax.quiver(x, y, *v.T, color=BLUE, angles="xy", width=0.005, scale=40)
            trajectories.framed(ax).set_title(f"t = {t}")


if __name__ == "__main__":
    commandline.main(main)
