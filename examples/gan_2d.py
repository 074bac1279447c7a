"""GANs in the plane: nine recipes on a ring or grid of Gaussians, where lost modes can be counted.

All GANs have the same small networks, the same data, and learning rates that fall to 0; `RECIPES`
lists the differences. The nine take 160 seconds of processor time. The run's folder, runs/gan_2d,
holds samples.png, each GAN's samples through training; curves.png, the fraction of good samples,
which are within 3σ of a mode; and training.gif.

    python examples/gan_2d.py                            all GANs on the ring
    python examples/gan_2d.py --data grid                the grid, which takes longer to learn
    python examples/gan_2d.py --loss r1                  one GAN, with its loss curves
    python examples/gan_2d.py --loss minimax --discriminator-steps 5

The number of modes found and the percentage of good samples (99 % of real points are good) after
4,000 steps with seed 0; with another seed other modes may be lost:

              minimax  non-sat.  least sq.  hinge  clipped  wgan-gp   r1   packed  spectral
    ring, 8     8 81     8 81      7 86      8 81    8 60     8 71   8 80   8 78     8 56
    grid, 25   25  8    22  8     22  9     19 11   25 19    24 26  23  7  18  8     2  3

With five discriminator steps per generator step, minimax ended with 2 modes and 0.5 % on the ring:
both losses went to 0, because the generator's loss is flat where the discriminator is sure. The
non-saturating loss ended with 8 modes and 86 %. On the grid all GANs would need longer training.

PacGAN's table (Lin et al. 2018, Table 1) with the authors' networks and recipe: the modes found by
a plain GAN, and by one whose discriminator sees four samples at once.

    python examples/gan_2d.py --paper --data grid
    python examples/gan_2d.py --paper --data grid --packing 4

As in the authors' program, a batch has 100 packs, an epoch has 1000 steps, and batch norm uses its
running averages in evaluation. But there both networks are updated simultaneously; here the
discriminator is updated first.

    seeds 0, 1, 2           10             25          60 epochs      published, after 400
    ring, modes of 8     7   7   8      7   7   8      7   8   8         6.3 ± 0.5
          good samples  83  51  90     82  88  91     96  88  96        98.2 %
    grid, modes of 25   21  14  23     18  14  25     20  20  19        17.3 ± 0.8
          good samples  38  20  30     53  49  69     86  78  86        94.8 %
    packed, modes       11  14   9     24  15  15     25  25  25        24.8 ± 0.2
          good samples   4   2   1     10   3   1     61  63  47

The numbers fluctuate. The means of epochs 51 to 60 are 7.0, 7.7 and 7.8 modes on the ring, a mode
more than published, after a seventh of the training; on the grid 19.2, 18.0 and 18.0, and packed
24.3, 24.9 and 24.5. After 150 epochs on the grid with seed 0 there were 19 modes and 93 % plain, 25
modes and 87 % packed. Packed GANs learn late, then find all modes (docs/gan_deeper.md has the
curves). An epoch takes 12 seconds on one core of an AMD EPYC, packed 18, so 400 epochs take 80
minutes and two hours.

Reading order: `RECIPES`, below the networks; `Experiment`, `Snapshots`; `main`; the pictures and
the table. The losses are in tinygen/gan/losses.py, the algorithm in tinygen/gan/training.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

import tinygen as tg
from tinygen import gan, image, metrics, models, nn, optim
from tinygen._files import save_arrays
from tinygen.data import Batches, points_2d
from tinygen.image.grids import FONT, GAP, HEAD, rgb, tiled
from tinygen.image.style import BLUE, GREY, INK, bare, panels
from tinygen.run import Run, commandline

Random = np.random.Generator

TRAIN, EPOCHS, PAPER_EPOCHS = 100_000, 8, 400
HIDDEN, LATENT = 64, 2
SAMPLES = 2500  # per snapshot, always from the same noise
SNAPSHOTS, ROWS = 40, 5  # of a run; those of them in samples.png
SIDE, BACKGROUND = 190, 247  # of a GAN's picture in training.gif: pixels, grey value
QUICK = {"epochs": 1, "train": 4000}

DATA = {  # sampler, μ, σ, extent in pictures
    "ring": (points_2d.ring, points_2d.ring_means(), 0.01, 1.4),
    "grid": (points_2d.grid, points_2d.grid_means(), 0.05, 5.2),
}
PUBLISHED = {  # modes and good samples by data and packing
    ("ring", 1): ("6.3 ± 0.5", "98.2 %"),
    ("grid", 1): ("17.3 ± 0.8", "94.8 %"),
    ("grid", 4): ("24.8 ± 0.2", "–"),
}


# --- networks and recipes -------------------------------------------------------------------------


def small_networks(packing: int, spectral: bool, rng: Random) -> tuple[nn.Module, nn.Module]:
    """G and D with three layers of 64 units each"""
    hidden, leaky = [HIDDEN] * 3, partial(tg.leaky_relu, slope=0.2)
    G = models.mlp([LATENT, *hidden, 2], rng=rng)
    D = models.mlp([2 * packing, *hidden, 1], leaky, rng=rng)
    if spectral:
        D = nn.Sequential(
            *(
                nn.SpectralNorm(layer, rng=rng) if isinstance(layer, nn.Dense) else layer
                for layer in D.layers
            )
        )
    return G, D


class Maxout(nn.Module):
    """z = maxₖ (x Wₖ + bₖ), k from 1 to `pieces`  (Goodfellow et al. 2013)"""

    def __init__(self, inputs: int, outputs: int, pieces: int, *, rng: Random, init: Any) -> None:
        self.pieces = pieces
        self.dense = nn.Dense(inputs, pieces * outputs, rng=rng, init=init)

    def forward(self, x: Any) -> tg.Tensor:
        z = self.dense(x)
        return tg.max(tg.reshape(z, (len(z), self.pieces, -1)), axis=1)


def pacgan_networks(packing: int, _: bool, rng: Random) -> tuple[nn.Module, nn.Module]:
    """G with 4 layers of 400 ReLUs and batch norm, D with 3 of 200 maxout units of 5 pieces"""
    init, inputs = nn.normal(0.02), [LATENT, 400, 400, 400]
    hidden = [
        (
            nn.Dense(n, 400, rng=rng, init=init, bias=False),
            nn.BatchNorm(400, momentum=0.05, eps=1e-4),
            nn.ReLU(),
        )
        for n in inputs
    ]
    G = nn.Sequential(*itertools.chain(*hidden), nn.Dense(400, 2, rng=rng, init=init))
    maxout = [Maxout(n, 200, 5, rng=rng, init=init) for n in (2 * packing, 200, 200)]
    return G, nn.Sequential(*maxout, nn.Dense(200, 1, rng=rng, init=init))


def adam(params: Mapping[str, tg.Tensor], steps: int) -> optim.Optimizer:
    return optim.Adam(params, optim.cosine(1e-3, steps), (0.5, 0.99))


def rmsprop(params: Mapping[str, tg.Tensor], steps: int) -> optim.Optimizer:
    return optim.RMSprop(params, optim.cosine(1e-3, steps))


def pacgan_adam(params: Mapping[str, tg.Tensor], _: int) -> optim.Optimizer:
    return optim.Adam(params, 1e-4, (0.8, 0.999))


class Recipe(NamedTuple):
    """The settings of one GAN; D sees `batch` real and `batch` generated points or packs a step."""

    loss: Callable[[], Any] = gan.NonSaturating
    penalty: Callable[..., tg.Tensor] | None = None
    clip_at: float | None = None
    discriminator_steps: int = 1
    packing: int = 1
    spectral: bool = False
    optimizer: Callable[..., optim.Optimizer] = adam
    networks: Callable[..., tuple[nn.Module, nn.Module]] = small_networks
    batch: int = 200

    @property
    def points_per_step(self) -> int:
        """Real points that D sees per step of G"""
        return self.batch * self.discriminator_steps * self.packing


RECIPES = {
    "minimax": Recipe(gan.Minimax),
    "non-saturating": Recipe(),
    "least-squares": Recipe(gan.LeastSquares),
    "hinge": Recipe(gan.Hinge),
    "wasserstein": Recipe(gan.Wasserstein, clip_at=0.1, discriminator_steps=5, optimizer=rmsprop),
    "wgan-gp": Recipe(
        gan.Wasserstein, partial(gan.gradient_penalty, weight=0.1), discriminator_steps=5
    ),
    "r1": Recipe(penalty=partial(gan.r1, weight=0.1)),
    "packed": Recipe(packing=2),
    "spectral": Recipe(spectral=True),
}
PACGAN = Recipe(optimizer=pacgan_adam, networks=pacgan_networks, batch=100)


# --- a GAN, and its samples through training ------------------------------------------------------


class Experiment:
    """A GAN trained by a recipe; `parts` are saved in checkpoints."""

    def __init__(self, recipe: Recipe, data: str, count: int, epochs: int, seed: int) -> None:
        self.recipe, rng = recipe, np.random.default_rng(seed)
        x = DATA[data][0](count, rng=rng).points
        networks = recipe.networks(recipe.packing, recipe.spectral, rng)
        self.model = gan.GAN(*networks, LATENT, packing=recipe.packing)
        # G makes count / batch steps per epoch, for which D may see every point several times
        passes = epochs * recipe.discriminator_steps * recipe.packing
        size = recipe.points_per_step
        self.batches = Batches(x, size, rng=rng, drop_last=True, epochs=passes)
        self.steps = self.batches.steps or 0
        G, D = (dict(network.named_parameters()) for network in networks)
        self.optimizers = (
            recipe.optimizer(G, self.steps),
            recipe.optimizer(D, self.steps * recipe.discriminator_steps),
        )
        self.parts = {
            "model": self.model,
            "G's optimizer": self.optimizers[0],
            "D's optimizer": self.optimizers[1],
            "batches": self.batches,
            "rng": rng,
        }

    def train(self) -> Iterator[dict[str, Any]]:
        recipe = self.recipe
        return gan.train(
            self.model,
            self.real_batches(),
            *self.optimizers,
            loss=recipe.loss(),
            discriminator_steps=recipe.discriminator_steps,
            penalty=recipe.penalty,
            clip_at=recipe.clip_at,
            rng=self.parts["rng"],
        )

    def real_batches(self) -> Iterator[tg.Tensor]:
        """The points of each step of G, split into batches for the steps of D"""
        for x in self.batches:
            size = len(x) // self.recipe.discriminator_steps
            for start in range(0, len(x), size):
                yield x[start : start + size]


def train_all(experiments: Mapping[str, Experiment]) -> Iterator[dict[str, Any]]:
    """A step of each GAN in turn; of several GANs only the losses are logged."""
    for records in zip(*(each.train() for each in experiments.values()), strict=False):
        if len(experiments) == 1:
            yield records[0]
        else:
            yield {
                f"{name} {network} loss": record[f"{network}_loss"]
                for name, record in zip(experiments, records, strict=True)
                for network in ("discriminator", "generator")
            }


class Snapshots:
    """The samples of all GANs at some steps, each (GANs, SAMPLES, 2)"""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.samples: list[np.ndarray] = []

    def add(self, step: int, samples: list[np.ndarray]) -> None:
        self.steps.append(step)
        self.samples.append(np.stack(samples))

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"steps": np.array(self.steps), "samples": np.array(self.samples)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.samples = state["steps"].tolist(), list(state["samples"])


def chosen(args: Any) -> dict[str, Recipe]:
    """The recipes that the options choose, by name"""
    if args.paper:
        name = "GAN" if (args.packing or 1) == 1 else f"PacGAN{args.packing}"
        recipes = {name: PACGAN}
    else:
        recipes = RECIPES if args.loss == "all" else {args.loss: RECIPES[args.loss]}
    options = {"packing": args.packing, "discriminator_steps": args.discriminator_steps}
    options = {name: value for name, value in options.items() if value}
    return {name: recipe._replace(**options) for name, recipe in recipes.items()}


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/gan_2d", data=None)
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add(
        "--data", choices=DATA, default="ring", help="ring of 8 modes or grid of 25 (default: ring)"
    )
    add("--loss", choices=["all", *RECIPES], default="all", help="recipe (default: all)")
    add("--paper", action="store_true", help="use PacGAN's networks and recipe instead")
    add(
        "--packing",
        type=at_least_1,
        metavar="M",
        help="samples that the discriminator sees at once (default: 1; `packed` 2)",
    )
    add(
        "--discriminator-steps",
        type=at_least_1,
        metavar="K",
        help="discriminator updates per generator update (default: 1; wasserstein and wgan-gp 5)",
    )
    add(
        "--epochs",
        type=at_least_1,
        metavar="N",
        help=f"passes over the points (default: {EPOCHS}; with --paper {PAPER_EPOCHS})",
    )
    add(
        "--train",
        type=at_least_1,
        default=TRAIN,
        metavar="N",
        help=f"training points (default: {TRAIN})",
    )
    args = commandline.parse(parser, quick=QUICK)
    args.epochs = args.epochs or (PAPER_EPOCHS if args.paper else EPOCHS)

    recipes = chosen(args)
    least = max(recipe.points_per_step for recipe in recipes.values())
    if args.train < least:
        parser.error(f"--train: expected at least {least}, the points of a step, got {args.train}")
    with Run(args.out, vars(args), resume=args.resume) as run:
        experiments = {
            name: Experiment(recipe, args.data, args.train, args.epochs, args.seed)
            for name, recipe in recipes.items()
        }
        models = {name: experiment.model for name, experiment in experiments.items()}
        snapshots = Snapshots()
        parts = {
            f"{name}, {key}": part
            for name, experiment in experiments.items()
            for key, part in experiment.parts.items()
        }
        run.keep(snapshots=snapshots, **parts)
        steps = min(experiment.steps for experiment in experiments.values())
        every = max(1, steps // SNAPSHOTS)
        z = np.random.default_rng(1).standard_normal((SAMPLES, LATENT), np.float32)

        left = max(0, steps - run.step)
        for record in run.track(itertools.islice(train_all(experiments), left)):
            if record.step % every == 0 or record.step in (1, steps):
                snapshots.add(record.step, [model.images(z) for model in models.values()])
                run.log(**named_values(modes(models, snapshots, args.data)))

        real = DATA[args.data][0](SAMPLES, rng=np.random.default_rng(2)).points
        draw(run, list(models), snapshots, real, args.data)
        scores = modes(models, snapshots, args.data)
        run.results(
            seconds=run.seconds,
            **named_values(scores),
            parameters={
                name: sum(p.size for p in model.parameters()) for name, model in models.items()
            },
        )
        if args.samples:
            rng = np.random.default_rng(3)
            samples = {name: model.sample(args.samples, rng=rng) for name, model in models.items()}
            save_arrays(run.path("samples.npz"), compress=True, **samples)
        scores |= {"real points": metrics.modes(real, *DATA[args.data][1:3])}
        published = PUBLISHED.get((args.data, args.packing or 1)) if args.paper else None
        print(table(scores, published))
        print(f"see {run.path('samples.png')} and the other pictures there")


def modes(
    names: Iterable[str], snapshots: Snapshots, data: str, k: int = -1
) -> dict[str, metrics.Modes]:
    """Modes and fraction of good samples of each GAN in the k-th snapshot"""
    _, means, std, _ = DATA[data]
    samples = zip(names, snapshots.samples[k], strict=True)
    return {name: metrics.modes(x, means, std) for name, x in samples}


def named_values(scores: Mapping[str, metrics.Modes]) -> dict[str, float]:
    """The scores for the log and the results"""
    return {f"{name} modes": score.captured for name, score in scores.items()} | {
        f"{name} good": score.high_quality for name, score in scores.items()
    }


# --- the pictures and the table -------------------------------------------------------------------


def draw(run: Run, names: list[str], snapshots: Snapshots, real: np.ndarray, data: str) -> None:
    """samples.png, with a row per step and a column per GAN; training.gif; curves.png"""
    steps, samples = snapshots.steps, snapshots.samples
    scores = [modes(names, snapshots, data, k) for k in range(len(steps))]
    last, reach = len(steps) - 1, DATA[data][3]
    rows = sorted({round(last * k / (ROWS - 1)) for k in range(ROWS)})
    extent, path = (-reach, reach, -reach, reach), run.path("samples.png")
    title = "Samples through training, over real points in grey"
    if len(names) == 1:
        by_step = {f"step {steps[k]:,}": samples[k][0] for k in rows[-4:]}
        image.points(path, by_step, truth=real, extent=extent, title=f"{names[0]}: {title}")
    else:
        size = (1.5 * len(names) + 0.6, 1.7 * len(rows) + 0.5)
        with panels("draw", path, size, len(rows), len(names), title) as axes:
            for ax, (row, k) in zip(axes, itertools.product(rows, range(len(names))), strict=True):
                image.points(ax, samples[row][k], truth=real, extent=extent)
                bare(ax).set_title(names[k] if row == 0 else "", fontsize=10)
                ax.set_ylabel(f"step {steps[row]:,}" if k == 0 else "", fontsize=9)
                score = scores[row][names[k]]
                ax.set_xlabel(f"{score.captured} modes, {score.high_quality:.0%}", fontsize=8)

    film = image.Animation(most=SNAPSHOTS + 2)
    for step, x in zip(steps, samples, strict=True):
        film.append(frame(names, x, real, reach), f"step {step:,}")
    film.save(run.path("training.gif"))
    if len(names) == 1:
        image.curves_of(
            run.path("curves.png"),
            run.path("log.csv"),
            title="GAN losses",
            names=["discriminator_loss", "generator_loss"],
        )
        return
    shares = {name: (steps, [score[name].high_quality for score in scores]) for name in names}
    image.curves(run.path("curves.png"), shares, log=False, ylabel="fraction of good samples")


def frame(names: list[str], samples: np.ndarray, real: np.ndarray, reach: float) -> np.ndarray:
    """One picture of all GANs' samples, each below its name"""
    pictures = np.stack([dots(x, real, reach) for x in samples])
    columns = int(np.ceil(np.sqrt(len(names))))
    sheet = Image.fromarray(tiled(pictures, columns, 1, head=HEAD))
    for k, name in enumerate(names):
        x, y = k % columns * (SIDE + GAP) + SIDE / 2, k // columns * (SIDE + HEAD + GAP) + HEAD / 2
        ImageDraw.Draw(sheet).text((x, y), name, INK, FONT, "mm")
    return np.asarray(sheet)


def dots(x: np.ndarray, real: np.ndarray, reach: float) -> np.ndarray:
    """Samples x in blue over real points in grey, a pixel each"""
    picture = np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)
    for points, colour in ((real, GREY), (x, BLUE)):
        pixels = np.floor((points * [1, -1] / reach + 1) * SIDE / 2)  # rows count downwards
        column, row = pixels[((pixels >= 0) & (pixels < SIDE)).all(axis=1)].astype(int).T
        picture[row, column] = rgb(colour)
    return picture


def table(scores: Mapping[str, metrics.Modes], published: tuple[str, str] | None) -> str:
    """A line per GAN, and one for the published scores"""
    rows = [("", "modes", "good samples")]
    rows += [
        (name, f"{score.captured} of {len(score.counts)}", f"{score.high_quality:.1%}")
        for name, score in scores.items()
    ]
    rows += [("published", *published)] if published else []
    return "\n".join(f"{name:16}{captured:>12}{good:>15}" for name, captured, good in rows)


if __name__ == "__main__":
    commandline.main(main)
