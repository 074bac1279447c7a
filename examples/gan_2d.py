"""Every loss plays the same game: to make points like those of a ring of Gaussians, or a grid.

Who has lost a mode can be seen here, and counted. All games have the same small networks, data and
learning rates that fall to 0; what differs is in `RECIPES`. It takes 160 seconds of processor time.
In runs/gan_2d are then games.png, what each of them makes through training; curves.png, the share
of good samples, which are within 3σ of a mode; and training.gif.

    python examples/gan_2d.py                            all games on the ring
    python examples/gan_2d.py --data grid                the grid, which takes longer to learn
    python examples/gan_2d.py --loss r1                  one game alone, with its losses by step
    python examples/gan_2d.py --loss minimax --discriminator-steps 5

With seed 0, after 4,000 steps, there were so many modes, and per cent of good samples (of real
points 99 are good); another seed may lose another mode:

              minimax  non-sat.  least sq.  hinge  clipped  wgan-gp   r1   packed  spectral
    ring, 8     8 81     8 81      7 86      8 81    8 60     8 71   8 80   8 78     8 56
    grid, 25   25  8    22  8     22  9     19 11   25 19    24 26  23  7  18  8     2  3

With five steps of the discriminator for each of the generator's, minimax ended with 2 modes and 0.5 % on
the ring: both losses go to 0, for where the discriminator is sure this loss is flat. The non-saturating
one ended with 8 and 86 %. On the grid all games would have to go on for longer.

PacGAN's table (Lin et al. 2018, Table 1), from the authors' networks and recipe: how many modes a
plain GAN finds, and one whose discriminator judges four samples at once.

    python examples/gan_2d.py --paper --data grid
    python examples/gan_2d.py --paper --data grid --packing 4

As in the authors' program a batch is of 100 packs, an epoch has 1000 steps, and samples are judged
with batch norm's running averages. But there both players step at once, and here the generator's
step meets a discriminator that has just made its own.

    seeds 0, 1, 2           10             25          60 epochs      published, after 400
    ring, modes of 8     7   7   8      7   7   8      7   8   8         6.3 ± 0.5
          good samples  83  51  90     82  88  91     96  88  96        98.2 %
    grid, modes of 25   21  14  23     18  14  25     20  20  19        17.3 ± 0.8
          good samples  38  20  30     53  49  69     86  78  86        94.8 %
    packed, modes       11  14   9     24  15  15     25  25  25        24.8 ± 0.2
          good samples   4   2   1     10   3   1     61  63  47

These go up and down. The means of epochs 51 to 60 are 7.0, 7.7 and 7.8 modes on the ring, a mode
more than the published after a seventh of the training; on the grid 19.2, 18.0 and 18.0, and packed
24.3, 24.9 and 24.5. The grid's games with seed 0 went on to 150 epochs, and came to 19 modes and
93 % plain, to 25 and 87 % packed: it is with time that samples get good. Packing takes long to
begin, and then finds all (docs/gan.md has the curves). An epoch takes 12 seconds of one core of an
AMD EPYC, packed 18, so 400 take 80 minutes and two hours.

Reading order: `RECIPES`, below the networks; `Game`, `Seen`; `main`; the pictures and the table.
The losses are in tinygen/gan/losses.py, the algorithm in tinygen/gan/training.py.
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
SAMPLES = 2500  # from which modes are counted, always from the same noise
MOMENTS, ROWS = 40, 5  # of the film, and those of them that the figure shows
SIDE, FLOOR = 190, 247  # a game in the film, in pixels, and the light grey that it stands on
QUICK = {"epochs": 1, "train": 4000}

DATA = {
    "ring": (points_2d.ring, points_2d.ring_means(), 0.01, 1.4),  # a sampler, μ, σ, how far to draw
    "grid": (points_2d.grid, points_2d.grid_means(), 0.05, 5.2),
}
PUBLISHED = {  # modes and good samples by data and packing; what is not there is not known here
    ("ring", 1): ("6.3 ± 0.5", "98.2 %"),
    ("grid", 1): ("17.3 ± 0.8", "94.8 %"),
    ("grid", 4): ("24.8 ± 0.2", "–"),
}


# --- networks and recipes -------------------------------------------------------------------------


def small(packing: int, spectral: bool, rng: Random) -> tuple[nn.Module, nn.Module]:
    """G and D: three layers of 64 units each"""
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
    """z = maxₖ (x Wₖ + bₖ), over so many pieces k  (Goodfellow et al. 2013)"""

    def __init__(self, inputs: int, outputs: int, pieces: int, *, rng: Random, init: Any) -> None:
        self.pieces = pieces
        self.dense = nn.Dense(inputs, pieces * outputs, rng=rng, init=init)

    def forward(self, x: Any) -> tg.Tensor:
        z = self.dense(x)
        return tg.max(tg.reshape(z, (len(z), self.pieces, -1)), axis=1)


def papers(packing: int, _: bool, rng: Random) -> tuple[nn.Module, nn.Module]:
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


def papers_adam(params: Mapping[str, tg.Tensor], _: int) -> optim.Optimizer:
    return optim.Adam(params, 1e-4, (0.8, 0.999))


class Recipe(NamedTuple):
    """What makes a game. The discriminator judges `batch` real and as many made ones, packs if packed."""

    loss: Callable[[], Any] = gan.NonSaturating
    penalty: Callable[..., tg.Tensor] | None = None
    clip_at: float | None = None
    discriminator_steps: int = 1
    packing: int = 1
    spectral: bool = False
    optimizer: Callable[..., optim.Optimizer] = adam
    networks: Callable[..., tuple[nn.Module, nn.Module]] = small
    batch: int = 200

    @property
    def times(self) -> int:
        """For a step of G, D sees so many batches of points"""
        return self.discriminator_steps * self.packing


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
PAPER = Recipe(optimizer=papers_adam, networks=papers, batch=100)


# --- a game, and what is seen of it ---------------------------------------------------------------


class Game:
    """Two networks that learn by a recipe; `parts` are what a checkpoint keeps of them."""

    def __init__(self, recipe: Recipe, data: str, count: int, epochs: int, seed: int) -> None:
        self.recipe, rng = recipe, np.random.default_rng(seed)
        x = DATA[data][0](count, rng=rng).points
        networks = recipe.networks(recipe.packing, recipe.spectral, rng)
        self.model = gan.GAN(*networks, LATENT, packing=recipe.packing)
        # an epoch has as many steps of G in each game: D may need the points more than once for it
        self.batches = Batches(
            x, recipe.batch * recipe.times, rng=rng, drop_last=True, epochs=epochs * recipe.times
        )
        self.steps = self.batches.steps or 0
        G, D = (dict(each.named_parameters()) for each in networks)
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

    def play(self) -> Iterator[dict[str, Any]]:
        recipe = self.recipe
        return gan.train(
            self.model,
            self._for_the_discriminator(),
            *self.optimizers,
            loss=recipe.loss(),
            discriminator_steps=recipe.discriminator_steps,
            penalty=recipe.penalty,
            clip_at=recipe.clip_at,
            rng=self.parts["rng"],
        )

    def _for_the_discriminator(self) -> Iterator[tg.Tensor]:
        """What is drawn for a step of G, in as many parts as D makes steps before it"""
        for x in self.batches:
            size = len(x) // self.recipe.discriminator_steps
            for start in range(0, len(x), size):
                yield x[start : start + size]


def all_at_once(games: Mapping[str, Game]) -> Iterator[dict[str, Any]]:
    """A step of each; of several games only the losses are told."""
    for records in zip(*(game.play() for game in games.values()), strict=False):
        if len(games) == 1:
            yield records[0]
        else:
            yield {
                f"{name} {player} loss": record[f"{player}_loss"]
                for name, record in zip(games, records, strict=True)
                for player in ("discriminator", "generator")
            }


class Seen:
    """What the games have made, at some steps: (games, SAMPLES, 2) each"""

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
    """The recipes of the games that are asked for, by name"""
    if args.paper:
        name = "GAN" if (args.packing or 1) == 1 else f"PacGAN{args.packing}"
        recipes = {name: PAPER}
    else:
        recipes = RECIPES if args.loss == "all" else {args.loss: RECIPES[args.loss]}
    asked = {"packing": args.packing, "discriminator_steps": args.discriminator_steps}
    asked = {name: value for name, value in asked.items() if value}
    return {name: recipe._replace(**asked) for name, recipe in recipes.items()}


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/gan_2d", data=None)
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add("--data", choices=DATA, default="ring", help="8 modes or 25 (default: ring)")
    add("--loss", choices=["all", *RECIPES], default="all", help="the game (default: all)")
    add("--paper", action="store_true", help="instead, PacGAN's networks and recipe")
    add(
        "--packing",
        type=at_least_1,
        metavar="M",
        help="the discriminator judges so many at once (default: 1, for `packed` 2)",
    )
    add(
        "--discriminator-steps",
        type=at_least_1,
        metavar="K",
        help="the discriminator makes so many for each of the generator's (default: 1, for wasserstein "
        "and wgan-gp 5)",
    )
    add(
        "--epochs",
        type=at_least_1,
        metavar="N",
        help=f"how often to see all points (default: {EPOCHS}; {PAPER_EPOCHS} for the paper's)",
    )
    add(
        "--train",
        type=at_least_1,
        default=TRAIN,
        metavar="N",
        help=f"learn from so many points (default: {TRAIN})",
    )
    args = commandline.parse(parser, quick=QUICK)
    args.epochs = args.epochs or (PAPER_EPOCHS if args.paper else EPOCHS)

    recipes = chosen(args)
    least = max(recipe.batch * recipe.times for recipe in recipes.values())
    if args.train < least:
        parser.error(f"--train: expected at least {least}, a step's, got {args.train}")
    with Run(args.out, vars(args), resume=args.resume) as run:
        games = {
            name: Game(recipe, args.data, args.train, args.epochs, args.seed)
            for name, recipe in recipes.items()
        }
        seen = Seen()
        run.keep(
            seen=seen,
            **{
                f"{name}, {part}": each
                for name, game in games.items()
                for part, each in game.parts.items()
            },
        )
        steps = min(game.steps for game in games.values())
        every = max(1, steps // MOMENTS)
        z = np.random.default_rng(1).standard_normal((SAMPLES, LATENT), np.float32)

        left = max(0, steps - run.step)
        for record in run.track(itertools.islice(all_at_once(games), left)):
            if record.step % every == 0 or record.step in (1, steps):
                seen.add(record.step, [game.model.images(z) for game in games.values()])
                run.log(**in_words(judged(games, seen, args.data)))

        real = DATA[args.data][0](SAMPLES, rng=np.random.default_rng(2)).points
        draw(run, list(games), seen, real, args.data)
        found = judged(games, seen, args.data)
        run.results(
            seconds=run.seconds,
            **in_words(found),
            parameters={
                name: sum(p.size for p in game.model.parameters()) for name, game in games.items()
            },
        )
        if args.samples:
            rng = np.random.default_rng(3)
            save_arrays(
                run.path("samples.npz"),
                compress=True,
                **{name: game.model.sample(args.samples, rng=rng) for name, game in games.items()},
            )
        found |= {"real points": metrics.modes(real, *DATA[args.data][1:3])}
        published = PUBLISHED.get((args.data, args.packing or 1)) if args.paper else None
        print(table(found, published))
        print(f"see {run.path('games.png')} and the other pictures there")


def judged(names: Iterable[str], seen: Seen, data: str, k: int = -1) -> dict[str, metrics.Modes]:
    """Modes and share of good samples, of those that were seen the k-th time; or last"""
    _, means, std, _ = DATA[data]
    return {
        name: metrics.modes(x, means, std) for name, x in zip(names, seen.samples[k], strict=True)
    }


def in_words(found: Mapping[str, metrics.Modes]) -> dict[str, float]:
    """For the log and the results"""
    return {f"{name} modes": each.captured for name, each in found.items()} | {
        f"{name} good": each.high_quality for name, each in found.items()
    }


# --- the pictures and the table -------------------------------------------------------------------


def draw(run: Run, names: list[str], seen: Seen, real: np.ndarray, data: str) -> None:
    """The figure: a row for each of some steps, a column for each game; the film; the curves"""
    found = [judged(names, seen, data, k) for k in range(len(seen.steps))]
    last, reach = len(seen.steps) - 1, DATA[data][3]
    rows = sorted({round(last * k / (ROWS - 1)) for k in range(ROWS)})
    extent, path = (-reach, reach, -reach, reach), run.path("games.png")
    title = "Made points, over true ones in grey, through training"
    if len(names) == 1:
        some = {f"step {seen.steps[k]:,}": seen.samples[k][0] for k in rows[-4:]}
        image.points(path, some, truth=real, extent=extent, title=f"{names[0]}: {title}")
    else:
        size = (1.5 * len(names) + 0.6, 1.7 * len(rows) + 0.5)
        with panels("draw", path, size, len(rows), len(names), title) as axes:
            for ax, (row, k) in zip(axes, itertools.product(rows, range(len(names))), strict=True):
                image.points(ax, seen.samples[row][k], truth=real, extent=extent)
                bare(ax).set_title(names[k] if row == 0 else "", fontsize=10)
                ax.set_ylabel(f"step {seen.steps[row]:,}" if k == 0 else "", fontsize=9)
                each = found[row][names[k]]
                ax.set_xlabel(f"{each.captured} modes, {each.high_quality:.0%}", fontsize=8)

    film = image.Animation(most=MOMENTS + 2)
    for step, samples in zip(seen.steps, seen.samples, strict=True):
        film.append(frame(names, samples, real, reach), f"step {step:,}")
    film.save(run.path("training.gif"))
    if len(names) == 1:
        image.curves_of(
            run.path("curves.png"),
            run.path("log.csv"),
            title="The losses by step",
            names=["discriminator_loss", "generator_loss"],
        )
        return
    shares = {name: (seen.steps, [each[name].high_quality for each in found]) for name in names}
    image.curves(run.path("curves.png"), shares, log=False, ylabel="share of good samples")


def frame(names: list[str], samples: np.ndarray, real: np.ndarray, reach: float) -> np.ndarray:
    """One picture of all games, each under its name"""
    pictures = np.stack([dots(x, real, reach) for x in samples])
    columns = int(np.ceil(np.sqrt(len(names))))
    sheet = Image.fromarray(tiled(pictures, columns, 1, head=HEAD))
    for k, name in enumerate(names):
        x, y = k % columns * (SIDE + GAP) + SIDE / 2, k // columns * (SIDE + HEAD + GAP) + HEAD / 2
        ImageDraw.Draw(sheet).text((x, y), name, INK, FONT, "mm")
    return np.asarray(sheet)


def dots(x: np.ndarray, real: np.ndarray, reach: float) -> np.ndarray:
    """Made points in blue over real ones in grey, a pixel each"""
    picture = np.full((SIDE, SIDE, 3), FLOOR, np.uint8)
    for some, colour in ((real, GREY), (x, BLUE)):
        places = np.floor((some * [1, -1] / reach + 1) * SIDE / 2)  # upwards is up
        column, row = places[((places >= 0) & (places < SIDE)).all(axis=1)].astype(int).T
        picture[row, column] = rgb(colour)
    return picture


def table(found: Mapping[str, metrics.Modes], published: tuple[str, str] | None) -> str:
    """A line for each game, and at last what real points come to"""
    rows = [("", "modes", "good samples")]
    rows += [
        (name, f"{each.captured} of {len(each.counts)}", f"{each.high_quality:.1%}")
        for name, each in found.items()
    ]
    rows += [("published", *published)] if published else []
    return "\n".join(f"{name:16}{modes:>12}{good:>15}" for name, modes, good in rows)


if __name__ == "__main__":
    commandline.main(main)
