"""Diffusion in the plane, where paths, scores and densities can be plotted.

A small network learns to denoise points, in about 20 seconds of processor time. The run's folder,
runs/diffusion_2d, holds samples.png, beside the data; samplers.png, four samplers at several
numbers of steps; paths.png; field.png, the score at several times; density.png, the learned
density, beside the true one if it is known; curves.png; and denoising.gif.

    python examples/diffusion_2d.py
    python examples/diffusion_2d.py --data swirl --predicts eps --schedule linear
    python examples/diffusion_2d.py --data grid --sampler ancestral --steps 1000

Reading order: `main`; the pictures. The sets are in tinygen/data/points_2d.py, the loss and the
loop in tinygen/diffusion/model.py, the samplers in tinygen/diffusion/samplers.py. flow_2d.py is the
same for flow matching.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import tinygen as tg
from tinygen import diffusion, image, metrics, optim
from tinygen._files import save_arrays
from tinygen.data import Batches
from tinygen.data.points_2d import SETS, PlaneSet
from tinygen.diffusion import Diffusion, samplers
from tinygen.image import trajectories
from tinygen.image.style import BLUE, panels
from tinygen.image.trajectories import SHADE
from tinygen.metrics import energy_distance
from tinygen.models import PlaneMLP
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 256, 4e-3
TRAIN, TEST = 100_000, 2000
DECAY = 0.999  # of the EMA of the weights, with which samples are made
STEPS = (4, 10, 30, 100)  # in samplers.png
PATHS = {"ddim": 48, "ancestral": 6}  # points in paths.png
FRAMES = 60  # of the animation
ARROWS, TIMES = 19, (800, 500, 300, 100)  # in field.png: arrows per side, and values of t
QUICK = {"epochs": 1, "train": 5000, "test": 300}


# --- the run --------------------------------------------------------------------------------------

SAMPLERS = {
    "ancestral": samplers.ancestral,
    "ddim": samplers.ddim,
    "heun": samplers.heun,
    "multistep": samplers.multistep,
}


def sample_steps(name: str, model: Diffusion, noise: np.ndarray, steps: int) -> Any:
    """The steps of a sampler, from this noise."""
    options = {"rng": np.random.default_rng(0)} if name == "ancestral" else {}
    return SAMPLERS[name](model, noise, steps=steps, **options)


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/diffusion_2d",
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
        "--predicts",
        choices=diffusion.model.PREDICTIONS,
        default="v",
        help="prediction of the network: the noise, the point, or v (default: v)",
    )
    schedules = {"cosine": diffusion.cosine, "linear": diffusion.linear}
    add("--schedule", choices=schedules, default="cosine", help="noise schedule (default: cosine)")
    add("--sampler", choices=SAMPLERS, default="heun", help="sampler (default: heun)")
    add(
        "--steps",
        type=commandline.at_least(2),
        default=40,
        help="sampling steps; ancestral needs hundreds (default: 40)",
    )
    args = commandline.parse(parser, quick=QUICK)

    with Run(args.out, vars(args), resume=args.resume) as run, threadpool_limits(1, "blas"):
        rng, test_rng = np.random.default_rng(args.seed), np.random.default_rng([args.seed, 1])
        target = SETS[args.data]
        train = target.draw(args.train, rng=rng).points
        test, test_2 = (target.draw(args.test, rng=test_rng).points for _ in range(2))

        model = Diffusion(PlaneMLP(rng=rng), schedules[args.schedule](), args.predicts)
        batches = Batches(train, min(args.batch_size, len(train)), rng=rng, epochs=args.epochs)
        rate = optim.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        average = optim.EMA(dict(model.named_parameters()), DECAY)
        run.keep(model=model, optimizer=optimizer, average=average, batches=batches, rng=rng)
        for _ in run.track(diffusion.train(model, batches, optimizer, rng=rng, ema=average)):
            pass

        with average.applied():
            noise = test_rng.standard_normal((max(args.test, args.samples), 2), np.float32)
            samples = samplers.last(sample_steps(args.sampler, model, noise, args.steps))
            evaluate(run, target, model, test, test_2, samples[: args.test])
            if args.samples:
                save_arrays(run.path("samples.npz"), points=samples[: args.samples])
            draw(run, target, model, test, noise[: args.test], samples[: args.test])
        print(f"see {run.path('samples.png')} and the other pictures there")


def evaluate(
    run: Run,
    target: PlaneSet,
    model: Diffusion,
    test: np.ndarray,
    test_2: np.ndarray,
    samples: np.ndarray,
) -> None:
    """Print and save the scores, beside those of the true distribution."""
    scores = {"log_likelihood": float(samplers.log_likelihood(model, test).mean())}
    bound = -diffusion.variational_bound(model, test, rng=np.random.default_rng(0)).mean()
    scores |= {"bound": float(bound), "energy_distance": energy_distance(samples, test)}
    baseline = energy_distance(test_2, test)
    lines = [
        f"log p(x) of held-out points: {scores['log_likelihood']:.3f} nats by the probability flow "
        f"ODE; by ancestral sampling at least {bound:.3f}"
    ]
    if target.log_density is not None:
        true = target.log_density(test)
        scores["true_log_likelihood"] = float(true.mean())
        lines[0] += f"; by the true density {true.mean():.3f}"
        # good samples have a true density above the 1 % quantile of the held-out points'
        good = (target.log_density(samples) >= np.quantile(true, 0.01)).mean()
        scores["good_samples"] = float(good)
        lines.append(f"{good:.1%} of samples in the region of 99 % of held-out points")
    if target.modes is not None:
        captured = metrics.modes(samples, **target.modes).captured
        scores["modes"] = captured
        lines[-1] += f", in {captured} of {len(target.modes['means'])} modes"
    lines.append(
        f"energy distance from samples to held-out points: {scores['energy_distance']:.5f} "
        f"(real-data baseline {baseline:.5f})"
    )
    scores |= {"energy_distance_baseline": baseline, "seconds": run.seconds}
    run.results(**scores, parameters=sum(p.size for p in model.parameters()))
    print("\n".join(lines))


# --- pictures -------------------------------------------------------------------------------------


def draw(
    run: Run,
    target: PlaneSet,
    model: Diffusion,
    test: np.ndarray,
    noise: np.ndarray,
    samples: np.ndarray,
) -> None:
    reach = 1.15 * float(np.abs(test).max())
    extent = (-reach, reach, -reach, reach)
    image.points(
        run.path("samples.png"), {"held-out points": test, "samples": samples}, extent=extent
    )

    by_steps = {}
    for name in SAMPLERS:
        for steps in STEPS:
            x = samplers.last(sample_steps(name, model, noise, steps))
            calls = 2 * steps - 1 if name == "heun" else steps
            by_steps[
                f"{name}, {steps} steps: {calls} network calls\n"
                f"energy distance {energy_distance(x, test):.4f}"
            ] = x
    image.points(
        run.path("samplers.png"),
        by_steps,
        truth=test,
        extent=extent,
        title="Samples by sampler and number of steps",
    )

    paths = {}
    for name, count in PATHS.items():
        start = noise[:count]
        paths[name] = [start, *(step.x for step in sample_steps(name, model, start, 200))]
    draw_paths(run, paths, test)
    draw_field(run, model, test)
    log_p = partial(samplers.log_likelihood, model)
    trajectories.density(run.path("density.png"), target.log_density, log_p, test, extent)
    if run.step:
        image.curves_of(
            run.path("curves.png"), run.path("log.csv"), names=["loss"], title="Squared error"
        )

    steps = list(samplers.ddim(model, noise, steps=FRAMES))
    frames = [trajectories.moment(f"t = {step.t:.0f}", step.x, step.x_0) for step in steps]
    image.animation(run.path("denoising.gif"), frames, fps=12)


def draw_paths(run: Run, paths: dict[str, list[Any]], test: np.ndarray) -> None:
    """Paths x_t from noise to samples, coloured by their start."""
    title = "Paths from noise ○ to samples ●"
    with panels("draw_paths", run.path("paths.png"), (10, 5.4), 1, len(paths), title) as axes:
        for ax, (name, states) in zip(axes, paths.items(), strict=True):
            ax.scatter(*test.T, s=4, color=SHADE, linewidths=0)
            trajectories.ways(ax, np.stack([tg.to_numpy(state) for state in states]))
            trajectories.framed(ax).set_title(name)


def draw_field(run: Run, model: Diffusion, test: np.ndarray) -> None:
    """The score ∇ log p_t(x) = −ε̂/√(1−ᾱ_t), times √(1−ᾱ_t), over noisy points x_t."""
    x, y = np.meshgrid(*[np.linspace(-2.5, 2.5, ARROWS, dtype=np.float32)] * 2)
    grid = tg.xp.asarray(np.stack([x.ravel(), y.ravel()], axis=1))
    eps = np.random.default_rng(0).standard_normal(test.shape, np.float32)
    title = "The score, scaled by the noise's standard deviation, over noisy points"
    with panels("draw_field", run.path("field.png"), (13, 4), 1, len(TIMES), title) as axes:
        for ax, t in zip(axes, TIMES, strict=True):
            ax.scatter(*model.schedule.q_sample(test, t, eps).T, s=4, color=SHADE, linewidths=0)
            score = -tg.to_numpy(model.denoise(grid, t)[1])
            ax.quiver(x, y, *score.T, color=BLUE, angles="xy", width=0.005, scale=30)
            trajectories.framed(ax).set_title(f"t = {t}")


if __name__ == "__main__":
    commandline.main(main)
