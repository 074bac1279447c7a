"""The figures of gan.md and gan_deeper.md: two numbers, fixed sets, and runs in the plane.

Reading order: the best discriminator; two numbers; sets that do not meet; discriminators whose slope is bounded;
what a generator pays; the ring of Gaussians, its games, and how they end.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from drawing import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, bare, canvas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import tinygen as tg
from tinygen import data, gan, metrics, models, nn, optim
from tinygen.data import points_2d
from tinygen.nn import Module

SEED = 0
LEAKY = nn.LeakyReLU(0.2)


# --- the best discriminator ------------------------------------------------------------------------------


def normal(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Its density."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def gan_best() -> Figure:
    """Two densities with p/(p + q) and a discriminator that was trained; what pulls a generator."""
    rng = np.random.default_rng(SEED)
    discriminator = models.mlp([1, 32, 32, 1], tg.tanh, rng=rng)
    adam = optim.Adam(discriminator.parameters(), lambda t: 0.01 * 0.995**t)
    loss = gan.NonSaturating()
    for _ in range(700):
        side = np.where(rng.random((500, 1)) < 0.5, -1.5, 0.5)
        real, fake = (0.4 * rng.standard_normal((500, 1)) + side, rng.normal(0.8, 0.8, (500, 1)))
        both = discriminator(np.concatenate([real, fake]).astype("f4"))[:, 0]
        adam.step(tg.grad(loss.discriminator(both[:500], both[500:]), adam.params))

    figure = canvas(10, 3.9)
    left, right = figure.subplots(1, 2)
    x = np.linspace(-3, 3.5, 400)
    p, q = (normal(x, -1.5, 0.4) + normal(x, 0.5, 0.4)) / 2, normal(x, 0.8, 0.8)
    left.fill_between(x, p, color=BLUE, alpha=0.18, linewidth=0, label="p, the data")
    left.fill_between(x, q, color=ORANGE, alpha=0.22, linewidth=0, label="q, the generator")
    left.plot(x, p / (p + q), color=INK, label="p / (p + q)")
    shown = np.linspace(-2.6, 3, 45)
    found = tg.sigmoid(discriminator(shown[:, None].astype("f4"))).numpy()[:, 0]
    left.plot(shown, found, "o", color=RED, markersize=3, label="σ(D), trained")
    left.set(ylim=(0, 1.45), xlabel="x", xlim=(-3, 3.5), yticks=[0, 0.5, 1])
    left.legend(loc="upper center", ncols=2)
    left.set_title("The optimal discriminator")

    f = np.linspace(-8, 8, 321)
    games: dict[str, tuple[Any, str]] = {
        "minimax": (gan.Minimax(), RED),
        "non-saturating": (gan.NonSaturating(), BLUE),
        "least squares": (gan.LeastSquares(), GREEN),
        "hinge, Wasserstein": (gan.Hinge(), GREY),
    }
    for name, (game, colour) in games.items():
        score = tg.Tensor(f, requires_grad=True)
        pull = -tg.grad(game.generator(score), score).numpy() * len(f)
        right.plot(f, pull, color=colour, label=name)
    right.set(
        ylim=(-0.6, 2.1), xlabel="f, the discriminator’s score of a sample", ylabel="−∂loss/∂f"
    )
    right.legend(loc="upper right")
    right.set_title("How strongly each generator loss raises the score f")
    return figure


# --- two numbers ----------------------------------------------------------------------------------


class Point(Module):
    """A generator whose every sample is θ."""

    def __init__(self, theta: float) -> None:
        self.theta = tg.Tensor([theta], requires_grad=True)

    def forward(self, z: Any) -> tg.Tensor:
        return tg.broadcast_to(self.theta, (len(z), 1))


class Slope(Module):
    """A discriminator D(x) = ψ x + c, where c is what cannot say whether a thing is real."""

    def __init__(self, psi: float, c: float) -> None:
        self.psi, self.c = tg.Tensor([psi], requires_grad=True), c

    def forward(self, x: Any) -> tg.Tensor:
        return x * self.psi + self.c  # type: ignore[no-any-return]


def way(
    loss: Any, start: tuple[float, float], steps: int, rate: float = 0.1, **options: Any
) -> np.ndarray:
    """θ and ψ of the Dirac-GAN after each step of gradient descent: (steps + 1, 2)"""
    model = gan.GAN(Point(start[0]), Slope(start[1], loss.boundary or 0.0), 1)
    players = [
        optim.SGD(each.parameters(), rate) for each in (model.generator, model.discriminator)
    ]
    zeros, rng = (tg.Tensor([[0.0]]) for _ in range(steps)), np.random.default_rng(SEED)
    found = [start]
    for _ in gan.train(model, zeros, *players, rng=rng, loss=loss, **options):
        found.append((model.generator.theta.item(), model.discriminator.psi.item()))
    return np.array(found)


def field(loss: Any, theta: np.ndarray, psi: np.ndarray, penalty: Any) -> list[np.ndarray]:
    """Where (θ, ψ) is pushed, at each of many places at once."""
    at = [tg.Tensor(each.reshape(-1, 1), requires_grad=True) for each in (theta, psi)]
    f = at[0] * at[1] + (loss.boundary or 0.0)
    of_generator, of_discriminator = (
        loss.generator(f),
        loss.discriminator(0 * f + (loss.boundary or 0.0), f),
    )
    if penalty is not None:
        zeros = np.zeros((theta.size, 1))
        of_discriminator = of_discriminator + penalty(
            lambda x: x * at[1], zeros, at[0].detach(), rng=np.random.default_rng(SEED)
        )
    pushes = tg.grad(of_generator, at[0]), tg.grad(of_discriminator, at[1])
    return [-push.numpy().reshape(theta.shape) * theta.size for push in pushes]


def gan_dirac() -> Figure:
    """The ways of the Dirac-GAN's two numbers, from the same start, in eight games."""
    r1, gp = (functools.partial(each, weight=0.5) for each in (gan.r1, gan.gradient_penalty))
    games: dict[str, tuple[Any, dict[str, Any]]] = {
        "minimax": (gan.Minimax(), {}),
        "non-saturating": (gan.NonSaturating(), {}),
        "least squares": (gan.LeastSquares(), {}),
        "hinge": (gan.Hinge(), {}),
        "Wasserstein": (gan.Wasserstein(), {}),
        "Wasserstein, |ψ| ≤ 0.7": (gan.Wasserstein(), {"clip_at": 0.7}),
        "Wasserstein, gradient penalty": (gan.Wasserstein(), {"penalty": gp}),
        "non-saturating, R1": (gan.NonSaturating(), {"penalty": r1}),
    }
    ticks = np.linspace(-1.9, 1.9, 15)
    theta, psi = np.meshgrid(ticks, ticks)
    figure = canvas(10, 5.5)
    for ax, (name, (loss, options)) in zip(figure.subplots(2, 4).flat, games.items(), strict=True):
        u, v = field(loss, theta, psi, options.get("penalty"))
        if "clip_at" in options:
            ax.axhspan(0.7, 2, color=PALE)
            ax.axhspan(-2, -0.7, color=PALE)
            inside = abs(psi) <= 0.7
            u, v = np.where(inside, u, np.nan), np.where(inside, v, np.nan)
        length = np.hypot(u, v) + 1e-9
        ax.quiver(
            theta,
            psi,
            u / length,
            v / length,
            color=GREY,
            alpha=0.45,
            pivot="mid",
            scale=24,
            width=0.005,
        )
        found = way(loss, (1.2, 0.0), 600, **options)
        ax.plot(*found.T, color=BLUE, linewidth=1.2)
        ax.plot(*found[0], "o", color=BLUE, markersize=4)
        ax.plot(*found[-1], "o", color=RED, markersize=5, zorder=3)
        ax.plot(0, 0, "+", color=INK, markersize=8, zorder=4)
        ax.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_title(name, fontsize=10)
        ax.grid(False)
    figure.supxlabel("θ, the generator’s sample (the data are at 0)", fontsize=10)
    figure.supylabel("ψ, the discriminator’s weight", fontsize=10)
    return figure


def by_formula(s: float, gamma: float, h: float) -> np.ndarray:
    """One step of both players, the discriminator first, near the equilibrium: as a matrix on (θ, ψ)"""
    discriminator = np.array([[1, 0], [-h * s, 1 - h * gamma]])
    generator = np.array([[1, h * s], [0, 1]])
    step: np.ndarray = generator @ discriminator
    return step


def by_measurement(loss: Any, gamma: float, h: float) -> float:
    """How much nearer a step comes on average, near the equilibrium."""
    found = way(loss, (1e-4, 0.0), 120, h, penalty=functools.partial(gan.r1, weight=gamma))
    before, after = found[:-1], found[1:]
    step = np.linalg.lstsq(before / 1e-4, after / 1e-4, rcond=None)[0]
    return float(abs(np.linalg.eigvals(step)).max())


def gan_eigenvalues() -> Figure:
    """The eigenvalues of the Dirac-GAN near its equilibrium, and a step's factor, as R1 grows."""
    h, gammas = 0.2, np.linspace(0, 4, 201)
    figure = canvas(10, 3.8)
    left, right = figure.subplots(1, 2)
    games = {"s = ½": (gan.NonSaturating(), 0.5, BLUE), "s = 1": (gan.Wasserstein(), 1.0, ORANGE)}
    for name, (loss, s, colour) in games.items():
        roots = np.array([np.linalg.eigvals([[0, s], [-s, -g]]) for g in gammas], complex)
        left.plot(roots.real.ravel(), roots.imag.ravel(), ".", color=colour, markersize=2.5)
        left.plot(roots[0].real, roots[0].imag, "o", color=colour, markersize=7)
        left.plot(-s, 0, "D", color=colour, markersize=6)
        radius = [abs(np.linalg.eigvals(by_formula(s, g, h))).max() for g in gammas]
        right.plot(gammas, radius, color=colour, linewidth=1.3, label=name)
        some = np.array([0.0, 0.25, 0.5, 0.75, 1.5, 2.5, 3.5])
        measured = [by_measurement(loss, g, h) for g in some]
        right.plot(some, measured, "o", color=colour, markersize=4.5)
    left.axvline(0, color=INK, linewidth=0.8)
    left.set(
        xlabel="real part: growth",
        ylabel="imaginary part: rotation",
        xlim=(-2.6, 0.4),
        ylim=(-1.25, 1.25),
    )
    left.annotate("γ = 0: circles", (0, 1), (-1.05, 1.06), color=ORANGE, fontsize=9)
    left.annotate("γ = 2 s", (-1, 0), (-1.5, 0.09), color=ORANGE, fontsize=9)
    left.set_title("Eigenvalues for γ from 0 to 4")
    right.axhline(1, color=INK, linewidth=0.8)
    right.set(xlabel="γ, the weight of R1", ylabel="radius after a step / before it")
    right.legend(loc="lower left")
    right.set_title(f"Steps of {h}: measured (dots), derived (lines)")
    return figure


# --- sets that do not meet ------------------------------------------------------------------------


def gan_disjoint() -> Figure:
    """N(0, s²) and N(θ, s²): how far apart they are, and how each loss pulls at θ."""
    s, x = 0.3, np.linspace(-3, 7, 20001)
    dx, theta = x[1] - x[0], np.linspace(0.02, 4, 200)
    p = normal(x, 0, s) + 1e-300
    js: list[float] = []
    pull: dict[str, list[float]] = {"minimax": [], "non-saturating": []}
    for t in theta:
        q = normal(x, t, s) + 1e-300
        m = (p + q) / 2
        js.append(0.5 * dx * (p * np.log(p / m) + q * np.log(q / m)).sum())
        # the best discriminator is log p/q = (t² − 2 t x) / 2s²: of slope −t/s² everywhere
        share = p / (p + q)
        pull["minimax"].append(dx * (q * share).sum() * t / s**2)
        pull["non-saturating"].append(dx * (q * (1 - share)).sum() * t / s**2)
    figure = canvas(10, 3.7)
    left, right = figure.subplots(1, 2)
    left.plot(theta, theta, color=GREEN, label="Wasserstein distance")
    left.plot(theta, js, color=RED, label="Jensen–Shannon divergence")
    left.axhline(math.log(2), color=GREY, linewidth=0.9, linestyle="--")
    left.annotate("log 2", (3.6, math.log(2)), (0, -13), textcoords="offset points", color=GREY)
    left.set(xlabel="θ, between N(0, 0.3²) and N(θ, 0.3²)", ylim=(0, 2.6), xlim=(0, 4))
    left.legend(loc="upper left")
    left.set_title("Distance between two narrow Gaussians")
    for (name, values), colour in zip(pull.items(), (RED, BLUE), strict=True):
        right.semilogy(theta, values, color=colour, label=name)
    right.semilogy(theta, np.ones(len(theta)), color=GREEN, label="Wasserstein")
    right.set(ylim=(1e-7, 1e3), xlim=(0, 4), xlabel="θ", ylabel="|d(generator’s loss)/dθ|")
    right.legend(loc="lower left")
    right.set_title("Gradient with the optimal discriminator")
    return figure


# --- discriminators whose slope is bounded ---------------------------------------------------------------


class Bounded(NamedTuple):
    """How a discriminator's slope is kept."""

    clip_at: float | None = None
    penalty: bool = False
    spectral: bool = False


BOUNDED = {
    "clipping, c = 0.01": Bounded(clip_at=0.01),
    "clipping, c = 0.1": Bounded(clip_at=0.1),
    "gradient penalty": Bounded(penalty=True),
    "spectral normalisation": Bounded(spectral=True),
}


def judging(how: Bounded, real: np.ndarray, fake: np.ndarray, steps: int = 500) -> Any:
    """A discriminator 2-64-64-64-1 of two fixed sets that has learnt to measure their distance."""
    rng = np.random.default_rng(SEED)
    discriminator = models.mlp([2, 64, 64, 64, 1], LEAKY, rng=rng)
    if how.spectral:
        discriminator = nn.Sequential(
            *[
                nn.SpectralNorm(layer, rng=rng) if hasattr(layer, "weight") else layer
                for layer in discriminator.layers
            ]
        )
    optimizer = optim.RMSprop(discriminator.parameters(), lambda t: 3e-3 * 0.994**t)
    loss = gan.Wasserstein()
    for _ in range(steps):
        x, y = (each[rng.integers(len(each), size=128)] for each in (real, fake))
        value = loss.discriminator(discriminator(x), discriminator(y))
        if how.penalty:
            value = value + gan.gradient_penalty(discriminator, x, y, rng=rng)
        optimizer.step(tg.grad(value, optimizer.params))
        if how.clip_at:
            gan.clip(optimizer.params, how.clip_at)
    return discriminator.eval()


def weights_of(discriminator: Any) -> np.ndarray:
    """Those of the layers between the first and the last, as they are used."""
    found = []
    for layer in discriminator.layers:
        if isinstance(layer, nn.SpectralNorm):
            inner: Any = layer.layer
            w = inner.weight.numpy()
            found.append(w / np.linalg.norm(w, 2))
        elif hasattr(layer, "weight"):
            found.append(layer.weight.numpy())
    return np.concatenate([w.ravel() for w in found[1:-1]])


def gan_slopes() -> Figure:
    """Four discriminators of two rings whose distance is known: level lines, and the weights."""
    fake = points_2d.ring(4000, rng=np.random.default_rng(SEED), std=0.08).points
    real = 2 * fake
    true = float(np.hypot(*fake.T).mean())
    figure = canvas(10, 5.6)
    axes = figure.subplots(2, 4, height_ratios=[1.35, 1])
    ticks = np.linspace(-2.9, 2.9, 60)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).astype("f4")
    for (name, how), above, below in zip(BOUNDED.items(), *axes, strict=True):
        discriminator = judging(how, real, fake)
        with tg.no_grad():
            scores = discriminator(plane.reshape(-1, 2)).numpy().reshape(plane.shape[:2])
            distance = float(
                gan.Wasserstein().discriminator(discriminator(fake), discriminator(real))
            )
        bare(above).contour(
            ticks, ticks, scores, 14, colors=GREY, linewidths=0.8, linestyles="solid"
        )
        above.plot(*real[:500].T, ".", color=BLUE, markersize=1.6)
        above.plot(*fake[:500].T, ".", color=ORANGE, markersize=1.6)
        above.set(aspect="equal", xlim=(-2.9, 2.9), ylim=(-2.9, 2.9))
        found = f"{distance:.2f}" if distance > 0.01 else f"{distance:.5f}"
        above.set_title(f"{name}\nestimate of W: {found} (true {true:.2f})", fontsize=10)
        w = weights_of(discriminator)
        end = how.clip_at or np.quantile(abs(w), 0.999).round(1)
        below.hist(w, 41, range=(-1.1 * end, 1.1 * end), color=PURPLE, linewidth=0)
        below.set(yticks=[], xticks=[-end, 0, end], xlabel="value of a weight")
        below.grid(False)
    axes[0, 0].set_ylabel("level lines of D")
    axes[1, 0].set_ylabel("histogram of the weights")
    return figure


# --- what a generator pays ------------------------------------------------------------------------


def lost(share: np.ndarray) -> dict[str, np.ndarray]:
    """Where q is p, evenly, on a share of the data, and nothing on the rest."""
    a, b = share, 1 - share
    # there q = p/a, so that m = (1 + 1/a)/2 of p; on the rest m = p/2
    within = (1 + 1 / a) / 2
    reverse = a * within * np.log(within) + b * 0.5 * np.log(0.5)  # KL(m ‖ p)
    forward = a * np.log(1 / within) + b * math.log(2)  # KL(p ‖ m)
    to_q = np.log(1 / a / within)  # KL(q ‖ m)
    return {"2 JS": forward + to_q, "2 KL(m ‖ p)": 2 * reverse}


def packed(kind: str, m: np.ndarray) -> np.ndarray:
    """The total variation of m samples at once from p and from q, 1/8 apart when it is one."""
    if kind == "one of eight modes missing":
        return 1 - (7 / 8) ** m
    total = []  # half of the modes have 5/4 of their share, the other half 3/4
    for n in m:
        k = np.arange(n + 1)
        ways = np.array([math.comb(n, i) for i in k], float) / 2.0**n
        total.append(0.5 * (ways * abs(1.25**k * 0.75 ** (n - k) - 1)).sum())
    return np.array(total)


def gan_price() -> Figure:
    """What it costs to leave out a part of the data, and what a discriminator of several at once sees."""
    figure = canvas(10, 3.7)
    left, right = figure.subplots(1, 2)
    share = np.linspace(0.002, 1, 500)
    for (name, values), colour in zip(lost(share).items(), (RED, BLUE), strict=True):
        left.plot(100 * (1 - share), values, color=colour, label=name)
    left.set(
        xlabel="% of the data never generated",
        ylabel="divergence, in nats",
        xlim=(0, 100),
        ylim=(0, 1.5),
    )
    left.legend(loc="upper left")
    left.set_title("What missing modes cost the generator")
    m = np.arange(1, 17)
    kinds = {"one of eight modes missing": RED, "all present, frequencies off by 25 %": GREEN}
    for kind, colour in kinds.items():
        right.plot(m, packed(kind, m), "o-", color=colour, markersize=4, label=kind)
    right.set(
        xlabel="n, samples in a pack",
        ylabel="total variation of pⁿ and qⁿ",
        ylim=(0, 1),
        xticks=[1, 4, 8, 12, 16],
    )
    right.legend(loc="upper left")
    right.set_title("What a discriminator of packs can see")
    return figure


# --- the ring of Gaussians: its games -------------------------------------------------------------

STD, BATCH, STEPS = 0.1, 64, 800
SHOWN = (50, 100, 200, 400, 800)  # steps whose samples are drawn
JUDGED = 4000


class Game(NamedTuple):
    """A recipe for two networks of two hidden layers each."""

    loss: Any = gan.NonSaturating()
    betas: tuple[float, float] | None = (0.5, 0.9)  # Adam's; RMSprop if there are none
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    hidden: int = 64
    packing: int = 1
    discriminator_steps: int = 1
    penalty: Any = None
    away: float = 0.0  # how far to the right the data are
    ahead: int = 1  # steps of the discriminator before the first of the generator
    plain: float | None = None  # rate of a generator that goes by plain gradient descent


class Played(NamedTuple):
    log: dict[str, np.ndarray]  # what `train` yields, at each step
    frames: dict[int, np.ndarray]  # samples at the steps that are shown
    averaged: np.ndarray  # samples of the generator whose weights are averages
    misplaced: float


@functools.cache
def played(game: Game, seed: int = SEED) -> Played:
    """A game of `STEPS` steps for the ring of eight Gaussians."""
    rng = np.random.default_rng(seed)
    real = points_2d.ring(8000, rng=rng, std=STD).points + shift(game)
    generator = models.mlp([2, game.hidden, game.hidden, 2], rng=rng)
    discriminator = models.mlp([2 * game.packing, game.hidden, game.hidden, 1], LEAKY, rng=rng)
    model = gan.GAN(generator, discriminator, 2, packing=game.packing)

    def optimizer(player: Module, rate: float) -> optim.Optimizer:
        if game.betas is None:
            return optim.RMSprop(player.parameters(), rate)
        return optim.Adam(player.parameters(), rate, game.betas)

    players = [
        optimizer(generator, game.generator_rate),
        optimizer(discriminator, game.discriminator_rate),
    ]
    if game.plain:
        players[0] = optim.SGD(generator.parameters(), game.plain)
    batches = data.Batches(real, BATCH, rng=rng)
    average = optim.EMA(generator.parameters(), 0.99)
    log: list[dict[str, float]] = []
    frames = {}
    for discriminator_steps, until in ((game.ahead, 1), (game.discriminator_steps, STEPS)):
        steps = gan.train(
            model,
            batches,
            *players,
            rng=rng,
            loss=game.loss,
            penalty=game.penalty,
            discriminator_steps=discriminator_steps,
        )
        for terms in itertools.islice(steps, until - len(log)):
            log.append({name: float(value) for name, value in terms.items()})
            average.update()
            if len(log) in SHOWN:
                frames[len(log)] = samples(model)
    with average.applied():
        averaged = samples(model)
    return Played(
        {name: np.array([terms[name] for terms in log]) for name in log[0]},
        frames,
        averaged,
        misplaced(frames[STEPS] - shift(game)),
    )


def shift(game: Game) -> np.ndarray:
    return np.array([game.away, 0], "f4")


def samples(model: gan.GAN) -> np.ndarray:
    return model.sample(JUDGED, rng=np.random.default_rng(SEED))


def misplaced(x: np.ndarray) -> float:
    """The share of samples that would have to move for each mode to have its eighth."""
    counts = metrics.modes(x, points_2d.ring_means(), STD).counts
    return float(1 - np.minimum(counts / len(x), 1 / 8).sum())


GAMES = {
    "the baseline (β₁ 0.5)": Game(),
    "Adam’s β₁ 0.9": Game(betas=(0.9, 0.999)),
    "Adam’s β₁ 0": Game(betas=(0.0, 0.9)),
    "RMSprop": Game(betas=None),
    "both rates / 4": Game(generator_rate=2.5e-4, discriminator_rate=2.5e-4),
    "both rates × 4": Game(generator_rate=4e-3, discriminator_rate=4e-3),
    "discriminator’s rate × 4": Game(discriminator_rate=4e-3),
    "generator’s rate × 4": Game(generator_rate=4e-3),
    "two discriminator steps": Game(discriminator_steps=2),
    "smaller networks (16 units)": Game(hidden=16),
    "least squares": Game(loss=gan.LeastSquares()),
    "hinge": Game(loss=gan.Hinge()),
    "R1, γ = 0.1": Game(penalty=functools.partial(gan.r1, weight=0.1)),
    "packing 2": Game(packing=2),
}


def scatter(ax: Axes, x: np.ndarray, colour: str, middle: float = 0.0) -> None:
    """Samples over the modes they should be at."""
    for mean in points_2d.ring_means() + np.array([middle, 0]):
        ax.add_patch(Circle(mean, 2 * STD, facecolor=PALE, edgecolor=GREY, linewidth=0.5))
    bare(ax).plot(*x[:1000].T, ".", color=colour, markersize=1.5, zorder=2)
    ax.set(xlim=(middle - 1.8, middle + 1.8), ylim=(-1.8, 1.8), aspect="equal")


def gan_modes() -> Figure:
    """What four generators make in the course of training."""
    rows = ["Adam’s β₁ 0.9", "the baseline (β₁ 0.5)", "packing 2", "discriminator’s rate × 4"]
    figure = canvas(8.6, 7)
    axes = figure.subplots(len(rows), len(SHOWN))
    for step, ax in zip(SHOWN, axes[0], strict=True):
        ax.set_title(f"step {step}", fontsize=10)
    for name, row in zip(rows, axes, strict=True):
        found = played(GAMES[name])
        for step, ax in zip(SHOWN, row, strict=True):
            scatter(ax, found.frames[step], BLUE)
        row[0].set_ylabel(name, fontsize=10)
    return figure


# --- how games end --------------------------------------------------------------------------------


def smooth(values: np.ndarray, width: int = 25) -> np.ndarray:
    """Means of so many steps; of fewer at the start."""
    total = np.cumsum(np.concatenate([[0], values]))
    i = np.arange(1, len(total))
    first = np.maximum(i - width, 0)
    means: np.ndarray = (total[i] - total[first]) / (i - first)
    return means


def gan_zero() -> Figure:
    """Four games, their discriminator's loss, the generator's slope, and what is made in the end."""
    late = functools.partial(Game, away=5.0, ahead=300)
    games = {
        "A: minimax, gradient descent": late(gan.Minimax(), plain=0.1),
        "B: minimax, Adam": late(gan.Minimax()),
        "C: discriminator’s rate × 4": GAMES["discriminator’s rate × 4"],
        "D: β₁ = 0.9, both rates / 4": Game(
            betas=(0.9, 0.999), generator_rate=2.5e-4, discriminator_rate=2.5e-4
        ),
    }
    figure = canvas(10, 6.4)
    axes = figure.subplots(3, 4, height_ratios=[1, 1, 1.5])
    for (name, game), (loss, slope, made) in zip(games.items(), axes.T, strict=True):
        found = played(game)
        steps = np.arange(1, STEPS + 1)
        loss.plot(steps, smooth(found.log["discriminator_loss"], 10), color=BLUE)
        loss.axhline(2 * math.log(2), color=INK, linewidth=0.9, linestyle="--")
        loss.set(ylim=(-0.1, 2.6), xlim=(0, STEPS), xticks=[0, 400, 800])
        loss.set_title(name, fontsize=10)
        slope.semilogy(steps, found.log["generator_gradient"], color=ORANGE, linewidth=0.8)
        slope.set(ylim=(1e-8, 1e2), xlim=(0, STEPS), xticks=[0, 400, 800], xlabel="step")
        scatter(made, found.frames[STEPS], BLUE, game.away)
        if name[0] == "A":
            made.set(xlim=(-2.5, 6.5), ylim=(-4.5, 4.5), xlabel="(zoomed out 2.5 times)")
    for ax, label in zip(
        axes[:, 0],
        ("discriminator’s loss", "generator’s gradient", "samples at step 800"),
        strict=True,
    ):
        ax.set_ylabel(label)
    return figure


def gan_curves() -> Figure:
    """Five games that go well: both losses, with what they are at rest, and what the discriminator can."""
    penalty = functools.partial(gan.gradient_penalty, weight=1.0)
    games = {
        "minimax": (Game(gan.Minimax(), discriminator_rate=4e-3), (-1, 2)),
        "non-saturating": (GAMES["discriminator’s rate × 4"], (0.4, 2)),
        "least squares": (Game(gan.LeastSquares(), discriminator_rate=4e-3), (0, 0.6)),
        "hinge": (Game(gan.Hinge(), discriminator_rate=4e-3), (-0.5, 3)),
        "Wasserstein": (Game(gan.Wasserstein(), discriminator_steps=2, penalty=penalty), (-1, 1.2)),
    }
    figure = canvas(10, 4.6)
    axes = figure.subplots(2, 5)
    steps = np.arange(1, STEPS + 1)
    for (name, (game, limits)), (above, below) in zip(games.items(), axes.T, strict=True):
        found = played(game)
        above.set_ylim(limits)
        for player, colour in (("discriminator", BLUE), ("generator", ORANGE)):
            above.plot(
                steps,
                smooth(found.log[f"{player}_loss"]),
                color=colour,
                linewidth=1.2,
                label="discriminator" if player == "discriminator" else player,
            )
            if f"{player}_at_equilibrium" in found.log:
                above.axhline(
                    found.log[f"{player}_at_equilibrium"][0],
                    color=colour,
                    linewidth=0.9,
                    linestyle="--",
                )
        above.set_title(f"{name}\n{found.misplaced:.0%} misplaced", fontsize=10)
        kind = "accuracy" if "accuracy" in found.log else "distance"
        below.plot(steps, smooth(found.log[kind]), color=PURPLE, linewidth=1.2)
        below.axhline(0.5 if kind == "accuracy" else 0, color=PURPLE, linewidth=0.9, linestyle="--")
        below.set_ylabel(kind)
        below.set(ylim=(0.4, 1) if kind == "accuracy" else (-0.2, 1), xlabel="step")
        for ax in (above, below):
            ax.set(xlim=(0, STEPS), xticks=[0, 400, 800])
    axes[0, 0].set_ylabel("loss")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def gan_tried() -> Figure:
    """The share of misplaced samples after so many steps, with one thing changed at a time."""
    figure = canvas(9, 5.2)
    ax = figure.subplots()
    found = {
        name: [played(game, seed).misplaced for seed in range(3)] for name, game in GAMES.items()
    }
    first = next(iter(found))
    found["weights averaged (EMA)"] = [
        misplaced(played(GAMES[first], seed).averaged) for seed in range(3)
    ]
    best, start, worst = sorted(found.pop(first))
    order = sorted(found, key=lambda name: np.mean(found[name]), reverse=True)
    ax.axvspan(best, worst, color=PALE, linewidth=0)
    ax.axvline(start, color=INK, linewidth=1)
    for i, name in enumerate(order):
        low, middle, high = sorted(found[name])
        colour = GREEN if high < best else RED if low > worst else INK
        ax.plot([low, high], [i, i], color=colour, linewidth=2, alpha=0.35)
        ax.plot([low, middle, high], [i] * 3, "o", color=colour, markersize=5)
    ax.set(yticks=range(len(order)), yticklabels=order, xlim=(0, 1))
    ax.set_xlabel(f"share of misplaced samples after {STEPS} steps (three seeds each)")
    ax.set_title("One change at a time (grey: the baseline)")
    ax.grid(axis="y", visible=False)
    return figure


FIGURES = (
    gan_best,
    gan_dirac,
    gan_eigenvalues,
    gan_disjoint,
    gan_slopes,
    gan_price,
    gan_modes,
    gan_zero,
    gan_curves,
    gan_tried,
)
