"""Diffusion in the plane, where all of it can be seen: noise becomes points, and a density.

A small network learns to take noise off points, in about 20 seconds of processor time. In
runs/diffusion_2d are then samples.png, samples beside the data; samplers.png, four ways to step and
how many steps each needs; paths.png, the ways that points go; field.png, where they are drawn at
several times; density.png, the density that has been learnt, beside the true one where it is known;
curves.png, and denoising.gif.

    python examples/diffusion_2d.py
    python examples/diffusion_2d.py --data swirl --predicts eps --schedule linear
    python examples/diffusion_2d.py --data grid --sampler ancestral --steps 1000

Reading order: `main`; the pictures. The sets are in tinygen/data/points_2d.py, the loss and the
loop in tinygen/diffusion/model.py, the samplers in tinygen/diffusion/samplers.py; flow_2d.py is
this page's sibling.
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
DECAY = 0.999  # of the average of the networks, which is what samples are taken from
STEPS = (4, 10, 30, 100)  # in samplers.png
PATHS = {"ddim": 48, "ancestral": 6}  # points whose ways are drawn
FRAMES = 60  # of the animation
ARROWS, TIMES = 19, (800, 500, 300, 100)  # of field.png
QUICK = {"epochs": 1, "train": 5000, "test": 300}


# --- the run --------------------------------------------------------------------------------------

SAMPLERS = {
    "ancestral": samplers.ancestral,
    "ddim": samplers.ddim,
    "heun": samplers.heun,
    "multistep": samplers.multistep,
}


def stepped(name: str, model: Diffusion, noise: np.ndarray, steps: int) -> Any:
    """The sampler of this name, under way; all draw from the same noise."""
    chance = {"rng": np.random.default_rng(0)} if name == "ancestral" else {}
    return SAMPLERS[name](model, noise, steps=steps, **chance)


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
        "--predicts",
        choices=diffusion.model.PREDICTIONS,
        default="v",
        help="what the network guesses (default: v)",
    )
    add("--schedule", choices=["cosine", "linear"], default="cosine", help="(default: cosine)")
    add("--sampler", choices=SAMPLERS, default="heun", help="(default: heun)")
    add(
        "--steps",
        type=commandline.at_least(2),
        default=40,
        help="of the sampler; ancestral wants hundreds (default: 40)",
    )
    args = commandline.parse(parser, quick=QUICK)

    with Run(args.out, vars(args), resume=args.resume) as run, threadpool_limits(1, "blas"):
        rng, judges = np.random.default_rng(args.seed), np.random.default_rng([args.seed, 1])
        known = SETS[args.data]
        train = known.draw(args.train, rng=rng).points
        test, other = (known.draw(args.test, rng=judges).points for _ in range(2))

        schedule = {"cosine": diffusion.cosine, "linear": diffusion.linear}[args.schedule]()
        model = Diffusion(PlaneMLP(rng=rng), schedule, args.predicts)
        batches = Batches(train, min(args.batch_size, len(train)), rng=rng, epochs=args.epochs)
        rate = optim.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        average = optim.EMA(dict(model.named_parameters()), DECAY)
        run.keep(model=model, optimizer=optimizer, average=average, batches=batches, rng=rng)
        for _ in run.track(diffusion.train(model, batches, optimizer, rng=rng, ema=average)):
            pass

        with average.applied():
            noise = judges.standard_normal((max(args.test, args.samples), 2), np.float32)
            samples = samplers.last(stepped(args.sampler, model, noise, args.steps))
            judged(run, known, model, test, other, samples[: args.test])
            if args.samples:
                save_arrays(run.path("samples.npz"), points=samples[: args.samples])
            draw(run, known, model, test, noise[: args.test], samples[: args.test])
        print(f"see {run.path('samples.png')} and the other pictures there")


def judged(
    run: Run,
    known: PlaneSet,
    model: Diffusion,
    test: np.ndarray,
    other: np.ndarray,
    samples: np.ndarray,
) -> None:
    """What can be said in numbers, printed and kept; beside each what the truth comes to."""
    found = {"log_likelihood": float(samplers.log_likelihood(model, test).mean())}
    bound = -diffusion.variational_bound(model, test, rng=np.random.default_rng(0)).mean()
    found |= {"bound": float(bound), "energy_distance": energy_distance(samples, test)}
    floor = energy_distance(other, test)
    lines = [
        f"log p(x) of held-out points {found['log_likelihood']:.3f} nats by the differential "
        f"equation; of ancestral sampling at least {bound:.3f}"
    ]
    if known.log_density is not None:
        true = known.log_density(test)
        found["true_log_likelihood"] = float(true.mean())
        lines[0] += f"; of the true density {true.mean():.3f}"
        # good is where the true density is as high as where all but 1 % of the points are
        good = (known.log_density(samples) >= np.quantile(true, 0.01)).mean()
        found["good_samples"] = float(good)
        lines.append(f"{good:.1%} of samples where 99 % of held-out points are")
    if known.modes is not None:
        captured = metrics.modes(samples, **known.modes).captured
        found["modes"] = captured
        lines[-1] += f", in {captured} of {len(known.modes['means'])} modes"
    lines.append(
        f"energy distance of samples to held-out points {found['energy_distance']:.5f}, "
        f"of as many other points {floor:.5f}"
    )
    parameters = sum(p.size for p in model.parameters())
    run.results(**found, floor=floor, seconds=run.seconds, parameters=parameters)
    print("\n".join(lines))


# --- pictures -------------------------------------------------------------------------------------


def draw(
    run: Run,
    known: PlaneSet,
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

    panel = {}
    for name in SAMPLERS:
        for steps in STEPS:
            x = samplers.last(stepped(name, model, noise, steps))
            calls = 2 * steps - 1 if name == "heun" else steps
            panel[
                f"{name}, {steps} steps: {calls} calls\n"
                f"energy distance {energy_distance(x, test):.4f}"
            ] = x
    image.points(
        run.path("samplers.png"),
        panel,
        truth=test,
        extent=extent,
        title="How many steps each sampler needs",
    )

    ways = {}
    for name, count in PATHS.items():
        some = noise[:count]
        ways[name] = [some, *(step.x for step in stepped(name, model, some, 200))]
    draw_paths(run, ways, test)
    draw_field(run, model, test)
    log_p = partial(samplers.log_likelihood, model)
    trajectories.density(run.path("density.png"), known.log_density, log_p, test, extent)
    if run.step:
        image.curves_of(
            run.path("curves.png"), run.path("log.csv"), names=["loss"], title="Square error"
        )

    steps = list(samplers.ddim(model, noise, steps=FRAMES))
    frames = [trajectories.moment(f"t = {step.t:.0f}", step.x, step.x_0) for step in steps]
    image.animation(run.path("denoising.gif"), frames, fps=12)


def draw_paths(run: Run, ways: dict[str, list[Any]], test: np.ndarray) -> None:
    """The ways x_t of some points from noise to the end, in colours by where they begin."""
    with panels(
        "draw_paths", run.path("paths.png"), (10, 5.4), 1, len(ways), "From noise, ○, to samples, ●"
    ) as axes:
        for ax, (name, states) in zip(axes, ways.items(), strict=True):
            ax.scatter(*test.T, s=4, color=SHADE, linewidths=0)
            trajectories.ways(ax, np.stack([tg.to_numpy(state) for state in states]))
            trajectories.framed(ax).set_title(name)


def draw_field(run: Run, model: Diffusion, test: np.ndarray) -> None:
    """The score ∇ log p_t(x) = −ε̂/√(1−ᾱ_t), drawn as −ε̂, over points x_t."""
    x, y = np.meshgrid(*[np.linspace(-2.5, 2.5, ARROWS, dtype=np.float32)] * 2)
    grid = tg.xp.asarray(np.stack([x.ravel(), y.ravel()], axis=1))
    eps = np.random.default_rng(0).standard_normal(test.shape, np.float32)
    with panels(
        "draw_field",
        run.path("field.png"),
        (13, 4),
        1,
        len(TIMES),
        "Where the score points, and points that are as noisy",
    ) as axes:
        for ax, t in zip(axes, TIMES, strict=True):
            ax.scatter(*model.schedule.q_sample(test, t, eps).T, s=4, color=SHADE, linewidths=0)
            score = -tg.to_numpy(model.denoise(grid, t)[1])
            ax.quiver(x, y, *score.T, color=BLUE, angles="xy", width=0.005, scale=30)
            trajectories.framed(ax).set_title(f"t = {t}")


if __name__ == "__main__":
    commandline.main(main)
