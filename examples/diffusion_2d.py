"""Diffusion in the plane, where all of it can be seen: noise becomes points, and a density.

A small network learns to take noise off points. Half a minute later there are in runs/diffusion_2d
samples.png, samples beside the data; samplers.png, four ways to step and how many steps each needs;
paths.png, the ways that points go; field.png, where they are drawn at several times; density.png,
the density that has been learnt, beside the true one where it is known; curves.png, and
denoising.gif.

    python examples/diffusion_2d.py
    python examples/diffusion_2d.py --data swirl --predicts eps --schedule linear
    python examples/diffusion_2d.py --data grid --sampler ancestral --steps 1000

Reading order: the sets; `Network`; the density; `main`; the pictures. The loss and the loop are in
tinygen/diffusion.py, the samplers in tinygen/samplers.py; flow_2d.py is the sibling of this page.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from threadpoolctl import threadpool_limits

import tinygen as tg
from tinygen import commandline, diffusion, image, metrics, models, nn, ode, optim, points, samplers
from tinygen.data import Batches
from tinygen.diffusion import Diffusion
from tinygen.files import save_arrays
from tinygen.run import Run
from tinygen.style import BLUE, COLOURS, INK, bare, canvas, panels
from tinygen.twosample import energy_distance

EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 256, 4e-3
TRAIN, TEST = 100_000, 2000
DECAY = 0.999  # of the average of the networks, which is what samples are taken from
HIDDEN, WAVES, FASTEST = 128, 8, 8.0
STEPS = (4, 10, 30, 100)  # in samplers.png
PATHS = {"ddim": 48, "ancestral": 6}  # points whose ways are drawn
FRAMES = 60  # of the animation
REACH, ARROWS, TIMES = 2.8, 19, (800, 500, 300, 100)  # of field.png
SIDE = 80  # points along each side of the plane at which the density is computed
SOLVED = 60  # steps along the differential equation, to find the density
SHADE = "#c8c8c8"
QUICK = {"epochs": 1, "train": 5000, "test": 300}


# --- what there is to learn -----------------------------------------------------------------------


class Set(NamedTuple):
    """`draw(n, rng=rng)`; `log_density(x)`, if it is known; means and deviation of a mixture."""

    draw: Callable[..., points.Points]
    log_density: Callable[[Any], np.ndarray] | None = None
    modes: dict[str, Any] | None = None


def mixture(means: Any, std: float) -> Set:
    modes = {"means": np.asarray(means, np.float64), "std": std}
    return Set(partial(points.mixture, **modes), partial(points.log_density, **modes), modes)


SETS = {  # all about as large as the noise
    "ring": mixture(points.ring_means(8, 1.5), 0.1),
    "grid": mixture(points.grid_means(5, 0.75), 0.06),
    "mixture": mixture([[-1.2, -0.8], [0.2, 1.3], [0.5, -1.0], [1.4, 0.6]], 0.35),
    "moons": Set(points.moons),
    "swirl": Set(partial(points.swirl, noise=0.03)),
    "pinwheel": Set(points.pinwheel),
    "checkerboard": Set(points.checkerboard, points.checkerboard_log_density),
}


# --- the network ----------------------------------------------------------------------------------


class Network(nn.Module):
    """(N, 2) points and (N,) times from 0 to 1000 → (N, 2)

    A dense network. It is told the times, and the coordinates beside what they are, as waves: from
    numbers alone it learns edges slowly.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.time = nn.SinusoidalEmbedding(32)
        self.place = nn.SinusoidalEmbedding(WAVES, longest=FASTEST)
        inputs = 2 + 2 * WAVES + 32
        self.layers = models.mlp([inputs, HIDDEN, HIDDEN, HIDDEN, HIDDEN, 2], tg.silu, rng=rng)

    def forward(self, x: Any, t: Any) -> Any:
        waves = tg.reshape(self.place(FASTEST * x), (len(x), 2 * WAVES))
        return self.layers(tg.concat([x, waves, self.time(t)], axis=1))


# --- the density: where the probability-flow equation comes from ----------------------------------


def log_likelihood(model: Diffusion, x: np.ndarray) -> np.ndarray:
    """log p(x) of points (N, 2), in nats, by following dx/du = b (ε̂ − b x) to noise, u = log σ

    Here x is x_t, and b = √(1−ᾱ_t). It begins at t = 1, the least noise that the network knows.
    """
    schedule = model.schedule

    def field(x: Any, u: float) -> Any:
        t = schedule.time(math.exp(u))
        a, b = map(float, schedule.scales(t))
        eps = diffusion.x_0_and_eps(model.predicts, model(x, t), x, a, b)[1]
        return b * (eps - b * x)

    ends = (math.log(schedule.sigma(t)) for t in (1, schedule.T))
    with tg.no_grad():
        return ode.log_likelihood(field, tg.xp.asarray(x), np.linspace(*ends, SOLVED + 1),
                                  step=ode.heun)  # fmt: skip


# --- the run --------------------------------------------------------------------------------------

SAMPLERS = {"ancestral": samplers.ancestral, "ddim": samplers.ddim, "heun": samplers.heun,
            "multistep": samplers.multistep}  # fmt: skip


def stepped(name: str, model: Diffusion, noise: np.ndarray, steps: int) -> Any:
    """The sampler of this name, under way; all draw from the same noise."""
    chance = {"rng": np.random.default_rng(0)} if name == "ancestral" else {}
    return SAMPLERS[name](model, noise, steps=steps, **chance)


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/diffusion_2d", data=None, lr=LEARNING_RATE)
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add("--data", choices=SETS, default="checkerboard", help="(default: checkerboard)")
    add("--epochs", type=commandline.at_least(0), default=EPOCHS,
        help=f"how often to see all points (default: {EPOCHS})")  # fmt: skip
    add("--batch-size", type=at_least_1, default=BATCH_SIZE,
        help=f"how many points make a step (default: {BATCH_SIZE})")  # fmt: skip
    add("--train", type=at_least_1, default=TRAIN, metavar="N",
        help=f"learn from so many points (default: {TRAIN})")  # fmt: skip
    add("--test", type=commandline.at_least(100), default=TEST, metavar="N",
        help=f"judge by so many others (default: {TEST})")  # fmt: skip
    add("--predicts", choices=diffusion.PREDICTIONS, default="v",
        help="what the network guesses (default: v)")  # fmt: skip
    add("--schedule", choices=["cosine", "linear"], default="cosine", help="(default: cosine)")
    add("--sampler", choices=SAMPLERS, default="heun", help="(default: heun)")
    add("--steps", type=commandline.at_least(2), default=40,
        help="of the sampler; ancestral wants hundreds (default: 40)")  # fmt: skip
    args = commandline.parse(parser, quick=QUICK)

    with Run(args.out, vars(args), resume=args.resume) as run, threadpool_limits(1, "blas"):
        rng, judges = np.random.default_rng(args.seed), np.random.default_rng([args.seed, 1])
        known = SETS[args.data]
        train = known.draw(args.train, rng=rng).points
        test, other = (known.draw(args.test, rng=judges).points for _ in range(2))

        schedule = {"cosine": diffusion.cosine, "linear": diffusion.linear}[args.schedule]()
        model = Diffusion(Network(rng), schedule, args.predicts)
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
    run: Run, known: Set, model: Diffusion, test: np.ndarray, other: np.ndarray,
    samples: np.ndarray,
) -> None:  # fmt: skip
    """What can be said in numbers, printed and kept; beside each what the truth comes to."""
    found = {"log_likelihood": float(log_likelihood(model, test).mean())}
    bound = -diffusion.variational_bound(model, test, rng=np.random.default_rng(0)).mean()
    found |= {"bound": float(bound), "energy_distance": energy_distance(samples, test)}
    floor = energy_distance(other, test)
    lines = [f"log p(x) of held-out points {found['log_likelihood']:.3f} nats by the differential "
             f"equation; of ancestral sampling at least {bound:.3f}"]  # fmt: skip
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
    lines.append(f"energy distance of samples to held-out points {found['energy_distance']:.5f}, "
                 f"of as many other points {floor:.5f}")  # fmt: skip
    parameters = sum(p.size for p in model.parameters())
    run.results(**found, floor=floor, seconds=run.seconds, parameters=parameters)
    print("\n".join(lines))


# --- pictures -------------------------------------------------------------------------------------


def draw(
    run: Run, known: Set, model: Diffusion, test: np.ndarray, noise: np.ndarray,
    samples: np.ndarray,
) -> None:  # fmt: skip
    reach = 1.15 * float(np.abs(test).max())
    extent = (-reach, reach, -reach, reach)
    image.points(run.path("samples.png"), {"held-out points": test, "samples": samples},
                 extent=extent)  # fmt: skip

    panel = {}
    for name in SAMPLERS:
        for steps in STEPS:
            x = samplers.last(stepped(name, model, noise, steps))
            calls = 2 * steps - 1 if name == "heun" else steps
            panel[f"{name}, {steps} steps: {calls} calls\n"
                  f"energy distance {energy_distance(x, test):.4f}"] = x  # fmt: skip
    image.points(run.path("samplers.png"), panel, truth=test, extent=extent,
                 title="How many steps each sampler needs")  # fmt: skip

    ways = {}
    for name, count in PATHS.items():
        some = noise[:count]
        ways[name] = [some, *(step.x for step in stepped(name, model, some, 200))]
    draw_paths(run, ways, test)
    draw_field(run, model, test)
    draw_density(run, known, partial(log_likelihood, model), test, extent)
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), names=["loss"],
                        title="Square error")  # fmt: skip

    steps = list(samplers.ddim(model, noise, steps=FRAMES))
    frames = [moment(f"t = {step.t:.0f}", step.x, step.x_0) for step in steps]
    image.animation(run.path("denoising.gif"), frames, fps=12)


def draw_paths(run: Run, ways: dict[str, list[Any]], test: np.ndarray) -> None:
    """The ways x_t of some points from noise to the end, in colours by where they begin."""
    with panels("draw_paths", run.path("paths.png"), (10, 5.4), 1, len(ways),
                "From noise, ○, to samples, ●") as axes:  # fmt: skip
        for ax, (name, states) in zip(axes, ways.items(), strict=True):
            ax.scatter(*test.T, s=4, color=SHADE, linewidths=0)
            draw_ways(ax, np.stack([tg.to_numpy(state) for state in states]))
            framed(ax).set_title(name)


def draw_ways(ax: Any, x: np.ndarray) -> None:
    """Lines through x (T, n, 2) from ○ to ●"""
    sector = np.floor(np.arctan2(x[0, :, 1], x[0, :, 0]) / math.pi * 4).astype(int) % 8
    for k, colour in enumerate(np.array(COLOURS)[sector]):
        ax.plot(*x[:, k].T, color=colour, linewidth=0.9, alpha=0.8)
        ax.plot(*x[0, k], "o", color=colour, markersize=4, markerfacecolor="white")
        ax.plot(*x[-1, k], "o", color=colour, markersize=4)


def draw_field(run: Run, model: Diffusion, test: np.ndarray) -> None:
    """The score ∇ log p_t(x) = −ε̂/√(1−ᾱ_t), drawn as −ε̂, over points x_t."""
    x, y = np.meshgrid(*[np.linspace(-2.5, 2.5, ARROWS, dtype=np.float32)] * 2)
    grid = tg.xp.asarray(np.stack([x.ravel(), y.ravel()], axis=1))
    eps = np.random.default_rng(0).standard_normal(test.shape, np.float32)
    with panels("draw_field", run.path("field.png"), (13, 4), 1, len(TIMES),
                "Where the score points, and points that are as noisy") as axes:  # fmt: skip
        for ax, t in zip(axes, TIMES, strict=True):
            ax.scatter(*model.schedule.q_sample(test, t, eps).T, s=4, color=SHADE, linewidths=0)
            score = -tg.to_numpy(model.denoise(grid, t)[1])
            ax.quiver(x, y, *score.T, color=BLUE, angles="xy", width=0.005, scale=30)
            framed(ax).set_title(f"t = {t}")


def draw_density(
    run: Run, known: Set, log_p: Callable[[np.ndarray], np.ndarray], test: np.ndarray, extent: Any
) -> None:
    """The true density, or points of it where it is not known, and the model's in one scale."""
    middles = extent[0] + (extent[1] - extent[0]) * (np.arange(SIDE) + 0.5) / SIDE
    plane = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2).astype(np.float32)
    learnt = np.exp(log_p(plane)).reshape(SIDE, SIDE)
    with panels("draw_density", run.path("density.png"), (10, 5.4), 1, 2,
                sharey=True) as (left, right):  # fmt: skip
        if known.log_density is None:
            image.points(left, test, extent=extent, title="held-out points")
        else:
            image.density(left, lambda x: np.exp(known.log_density(x)), extent=extent,
                          title="the true density")  # fmt: skip
        image.density(right, learnt, extent=extent, title="the model's density")
        if left.images:
            for drawn in (*left.images, *right.images):
                drawn.set_clim(0, 1.5 * left.images[0].get_array().max())


def moment(text: str, x: Any, guess: Any) -> np.ndarray:
    """One picture of the animation: the points, and where each is guessed to go."""
    figure = canvas(8, 4.3)
    panels = zip(figure.subplots(1, 2), (x, guess), (text, "the guess of the end"), strict=True)
    for ax, at, title in panels:
        ax.scatter(*tg.to_numpy(at).T, s=3, color=BLUE, linewidths=0)
        framed(ax).set_title(title, fontsize=11, color=INK)
    drawing = FigureCanvasAgg(figure)
    drawing.draw()
    return np.asarray(drawing.buffer_rgba())[..., :3] / 255


def framed(ax: Any) -> Any:
    bare(ax).set(aspect="equal", xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    return ax


if __name__ == "__main__":
    commandline.main(main)
